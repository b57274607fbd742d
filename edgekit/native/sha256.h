/* SHA-256 (FIPS 180-4). */
#ifndef EDGEKIT_SHA256_H
#define EDGEKIT_SHA256_H

#include <stdbool.h>
#include <stdio.h>

enum { SHA256_HEX_SIZE = 65 };

/* Writes the hex digest of the rest of a file, by the core's SHA instructions where it has them; returns
 * false where reading failed. */
bool sha256_file(FILE *file, char hex[SHA256_HEX_SIZE]);
/* Writes the hex digest of bytes in memory, by portable code on every core. */
void sha256_portable(const unsigned char *bytes, size_t size, char hex[SHA256_HEX_SIZE]);

#endif
