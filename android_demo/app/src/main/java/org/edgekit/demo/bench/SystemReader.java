package org.edgekit.demo.bench;

import android.app.ActivityManager;
import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;
import java.io.BufferedReader;
import java.io.File;
import java.io.FileReader;
import java.io.IOException;
import java.util.Map;
import java.util.TreeMap;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The device and its circumstances, in the records of the host's result file; unreadable values are null. */
public final class SystemReader {
    private static final String CPU = "/sys/devices/system/cpu/cpu";

    private final Context context;

    public SystemReader(Context context) {
        this.context = context.getApplicationContext();
    }

    /** Returns the record `DeviceInfo`. */
    public JSONObject device(String serial) throws JSONException {
        ActivityManager.MemoryInfo memory = memory();
        return new JSONObject()
                .put("serial", serial)
                .put("state", "device")
                .put("transport", "app")
                .put("manufacturer", Build.MANUFACTURER)
                .put("model", Build.MODEL)
                .put("soc", Build.HARDWARE)
                .put("abi", Build.SUPPORTED_ABIS.length > 0 ? Build.SUPPORTED_ABIS[0] : JSONObject.NULL)
                .put("abis", new JSONArray(java.util.Arrays.asList(Build.SUPPORTED_ABIS)))
                .put("os", "Android " + Build.VERSION.RELEASE + " (SDK " + Build.VERSION.SDK_INT + ")")
                .put("kernel", orNull(System.getProperty("os.version")))
                .put("clusters", clusters())
                .put("memory_bytes", memory.totalMem)
                .put("free_bytes", context.getFilesDir().getUsableSpace());
    }

    /** Returns the record `Environment` of this moment. */
    public JSONObject environment() throws JSONException {
        JSONArray unreadable = new JSONArray();
        JSONObject environment =
                new JSONObject()
                        .put("cores", cores(unreadable))
                        .put("memory_available_bytes", memory().availMem)
                        .put("screen_on", screenOn());
        // Apps may read neither the thermal zones nor the load average.
        unreadable.put("thermal zones").put("load_1min").put("busy_processes");
        JSONObject temperatures = new JSONObject();
        Intent battery =
                context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
        if (battery == null) {
            unreadable.put("battery");
        } else {
            putBattery(environment, temperatures, battery);
        }
        return environment
                .put("temperatures_celsius", temperatures)
                .put("unreadable", unreadable);
    }

    /** Temperature of the battery; null where it cannot be read. */
    Double batteryCelsius() {
        Intent battery =
                context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
        int tenths =
                battery == null
                        ? Integer.MIN_VALUE
                        : battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Integer.MIN_VALUE);
        return tenths == Integer.MIN_VALUE ? null : tenths / 10.0;
    }

    /** Peak resident memory of this process, bytes; null where unknown. */
    public static Long peakMemoryBytes() {
        try (BufferedReader reader = new BufferedReader(new FileReader("/proc/self/status"))) {
            String line;
            while ((line = reader.readLine()) != null) {
                if (line.startsWith("VmHWM:")) {
                    return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
                }
            }
        } catch (IOException | NumberFormatException error) {
            return null;
        }
        return null;
    }

    private void putBattery(JSONObject environment, JSONObject temperatures, Intent battery)
            throws JSONException {
        int level = battery.getIntExtra(BatteryManager.EXTRA_LEVEL, -1);
        int scale = battery.getIntExtra(BatteryManager.EXTRA_SCALE, -1);
        if (level >= 0 && scale > 0) {
            environment.put("battery_percent", 100 * level / scale);
        }
        int millivolts = battery.getIntExtra(BatteryManager.EXTRA_VOLTAGE, -1);
        if (millivolts > 0) {
            environment.put("battery_voltage_uv", millivolts * 1000);
        }
        environment.put("charging", battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0);
        int tenths = battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Integer.MIN_VALUE);
        if (tenths != Integer.MIN_VALUE) {
            temperatures.put("battery", tenths / 10.0);
        }
        BatteryManager manager = (BatteryManager) context.getSystemService(Context.BATTERY_SERVICE);
        if (manager != null) {
            int current = manager.getIntProperty(BatteryManager.BATTERY_PROPERTY_CURRENT_NOW);
            if (current != Integer.MIN_VALUE && current != 0) {
                environment.put("battery_current_ua", current);
            }
        }
    }

    private boolean screenOn() {
        PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
        return power != null && power.isInteractive();
    }

    private ActivityManager.MemoryInfo memory() {
        ActivityManager.MemoryInfo info = new ActivityManager.MemoryInfo();
        ((ActivityManager) context.getSystemService(Context.ACTIVITY_SERVICE)).getMemoryInfo(info);
        return info;
    }

    private static JSONArray cores(JSONArray unreadable) throws JSONException {
        JSONArray cores = new JSONArray();
        boolean read = false;
        for (int core = 0; new File(CPU + core).isDirectory(); core++) {
            Long frequency = number(CPU + core + "/cpufreq/scaling_cur_freq");
            read |= frequency != null;
            cores.put(
                    new JSONObject()
                            .put("core", core)
                            .put("frequency_khz", orNull(frequency))
                            .put("max_frequency_khz", orNull(maxFrequency(core)))
                            .put("governor", orNull(line(CPU + core + "/cpufreq/scaling_governor"))));
        }
        if (!read) {
            unreadable.put("core frequencies");
        }
        return cores;
    }

    private static JSONArray clusters() throws JSONException {
        Map<Long, JSONArray> byFrequency = new TreeMap<>();
        for (int core = 0; new File(CPU + core).isDirectory(); core++) {
            Long frequency = maxFrequency(core);
            if (frequency == null) {
                return new JSONArray(); // without frequencies the clusters are unknown
            }
            if (!byFrequency.containsKey(frequency)) {
                byFrequency.put(frequency, new JSONArray());
            }
            byFrequency.get(frequency).put(core);
        }
        JSONArray clusters = new JSONArray();
        for (Map.Entry<Long, JSONArray> cluster : byFrequency.entrySet()) {
            clusters.put(
                    new JSONObject()
                            .put("cores", cluster.getValue())
                            .put("max_frequency_khz", cluster.getKey()));
        }
        return clusters;
    }

    private static Long maxFrequency(int core) {
        return number(CPU + core + "/cpufreq/cpuinfo_max_freq");
    }

    private static Long number(String path) {
        String text = line(path);
        try {
            return text == null ? null : Long.valueOf(text);
        } catch (NumberFormatException error) {
            return null;
        }
    }

    private static String line(String path) {
        try (BufferedReader reader = new BufferedReader(new FileReader(path))) {
            String text = reader.readLine();
            return text == null ? null : text.trim();
        } catch (IOException error) {
            return null;
        }
    }

    private static Object orNull(Object value) {
        return value == null ? JSONObject.NULL : value;
    }
}
