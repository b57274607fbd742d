/* SHA-256 (FIPS 180-4). */
#ifndef EDGEKIT_SHA256_H
#define EDGEKIT_SHA256_H

#include <stdbool.h>
#include <stdio.h>

enum { SHA256_HEX_SIZE = 65 };

/* The hex digest of what is left to read of a file, by the core's own instructions where it has them; false
 * where reading failed. */
bool sha256_file(FILE *file, char hex[SHA256_HEX_SIZE]);
/* The hex digest of bytes in memory, computed alike on every core. */
void sha256_portable(const unsigned char *bytes, size_t size, char hex[SHA256_HEX_SIZE]);

#endif
