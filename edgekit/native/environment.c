/* The request `environment`: frequencies, temperatures, battery and load, as far as the kernel shows them. */
#include "runner.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_word(const char *path, char word[64])
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool ok = fscanf(file, "%63s", word) == 1;
    fclose(file);
    return ok;
}

static void append_number(json_text *out, const char *name, const char *path)
{
    int64_t number;
    if (read_number(path, &number))
        json_append(out, ",\"%s\":%lld", name, (long long)number);
    else
        json_append(out, ",\"%s\":null", name);
}

static void append_core(json_text *out, int core)
{
    char path[128], governor[64];
    json_append(out, "{\"core\":%d", core);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", core);
    append_number(out, "frequency_khz", path);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_max_freq", core);
    append_number(out, "max_frequency_khz", path);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", core);
    json_append(out, ",\"governor\":");
    if (read_word(path, governor))
        json_append_string(out, governor);
    else
        json_append(out, "null");
    json_append(out, "}");
}

/* The kernel's ABI prescribes millidegrees; some vendors' zones give tenths or whole degrees. */
static double degrees(int64_t raw)
{
    if (raw >= 1000 || raw <= -1000)
        return (double)raw / 1000;
    return raw > 200 ? (double)raw / 10 : (double)raw;
}

static int zone_number(const struct dirent *entry)
{
    const char *digits = entry->d_name + strlen("thermal_zone");
    return strncmp(entry->d_name, "thermal_zone", strlen("thermal_zone")) == 0 && *digits != '\0' ? atoi(digits)
                                                                                                : -1;
}

static int select_zone(const struct dirent *entry)
{
    return zone_number(entry) >= 0;
}

static int compare_zones(const struct dirent **a, const struct dirent **b)
{
    return zone_number(*a) - zone_number(*b);
}

enum { MAX_ZONES = 256 };

/* A zone is named by its type; the second zone of a type gets its number appended. */
static void append_zone(json_text *out, int zone, char names[][64], int *count)
{
    char path[128];
    int64_t raw;
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", zone);
    if (*count == MAX_ZONES || !read_number(path, &raw))
        return;
    double celsius = degrees(raw);
    if (celsius < -30 || celsius > 150) /* a disabled sensor */
        return;
    char *name = names[*count];
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/type", zone);
    bool named = read_word(path, name);
    for (int i = 0; named && i < *count; i++)
        named = strcmp(names[i], name) != 0;
    json_append(out, "%s", *count ? "," : "");
    if (named) {
        json_append_string(out, name);
    } else {
        snprintf(name, 64, "thermal_zone%d", zone);
        json_append_string(out, name);
    }
    json_append(out, ":%.3f", celsius);
    ++*count;
}

static void append_temperatures(json_text *out)
{
    static char names[MAX_ZONES][64];
    struct dirent **zones;
    int count = 0;
    int found = scandir("/sys/class/thermal", &zones, select_zone, compare_zones);
    for (int i = 0; i < found; i++) {
        append_zone(out, zone_number(zones[i]), names, &count);
        free(zones[i]);
    }
    if (found >= 0)
        free(zones);
}

/* The first supply of the type Battery; its power while computing is the power of an inference. */
static bool find_battery(char directory[160])
{
    char path[192], type[64];
    struct dirent *entry;
    DIR *supplies = opendir("/sys/class/power_supply");
    bool found = false;
    while (supplies != NULL && !found && (entry = readdir(supplies)) != NULL) {
        snprintf(directory, 160, "/sys/class/power_supply/%.100s", entry->d_name);
        snprintf(path, sizeof path, "%s/type", directory);
        found = entry->d_name[0] != '.' && read_word(path, type) && strcmp(type, "Battery") == 0;
    }
    if (supplies != NULL)
        closedir(supplies);
    return found;
}

static void append_battery(json_text *out)
{
    static const char *const names[][2] = {
        {"battery_percent", "capacity"},
        {"battery_current_ua", "current_now"},
        {"battery_voltage_uv", "voltage_now"},
    };
    char directory[160], path[192], status[64];
    if (!find_battery(directory))
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i][1]);
        append_number(out, names[i][0], path);
    }
    snprintf(path, sizeof path, "%s/status", directory);
    if (read_word(path, status) && strcmp(status, "Unknown") != 0)
        json_append(out, ",\"charging\":%s", strcmp(status, "Discharging") == 0 ? "false" : "true");
}

bool serve_environment(json_text *answer)
{
    double load;
    core_list cores = machine_cores();
    json_append(answer, ",\"cores\":[");
    for (int i = 0; i < cores.count; i++) {
        json_append(answer, "%s", i ? "," : "");
        append_core(answer, cores.cores[i]);
    }
    json_append(answer, "],\"temperatures_celsius\":{");
    append_temperatures(answer);
    json_append(answer, "},\"clock_ns\":%lld,\"load_1min\":", (long long)steady_ns());
    FILE *file = fopen("/proc/loadavg", "re");
    if (file != NULL && fscanf(file, "%lf", &load) == 1)
        json_append(answer, "%.2f", load);
    else
        json_append(answer, "null");
    if (file != NULL)
        fclose(file);
    append_battery(answer);
    return true;
}
