/* The part of ONNX Runtime's C API that the runner uses.
 *
 * No package registry carries the C header for every platform, and the API is a table of function
 * pointers that only ever grows at its end (onnxruntime_c_api.h: "the order is fixed"), so a function is
 * its index in `struct OrtApi`. tests/native checks each index against the real header and the installed
 * library. API version 7 is the first with all of these functions. */
#ifndef EDGEKIT_ONNXRUNTIME_SLOTS_H
#define EDGEKIT_ONNXRUNTIME_SLOTS_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_API_VERSION_USED = 7, ORT_LOGGING_ERROR = 3 };
enum { ORT_DEVICE_ALLOCATOR = 0, ORT_MEM_DEFAULT = 0 };

enum { ORT_NOT_IMPLEMENTED = 9 }; /* of OrtErrorCode */

typedef struct {
    const void *const *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} ort_api_base;

typedef struct ort_status ort_status;
typedef struct ort_object ort_object; /* env, options, session, value, type information, ... */

/* ORT_SLOT(name, index, result, (arguments)) */
#define ORT_SLOTS(ORT_SLOT)                                                                                    \
    ORT_SLOT(GetErrorCode, 1, int, (const ort_status *))                                                       \
    ORT_SLOT(GetErrorMessage, 2, const char *, (const ort_status *))                                           \
    ORT_SLOT(CreateEnv, 3, ort_status *, (int level, const char *id, ort_object **))                           \
    ORT_SLOT(DisableTelemetryEvents, 6, ort_status *, (const ort_object *env))                                 \
    ORT_SLOT(CreateSession, 7, ort_status *,                                                                   \
             (const ort_object *env, const char *path, const ort_object *options, ort_object **))              \
    ORT_SLOT(Run, 9, ort_status *,                                                                             \
             (ort_object *session, const ort_object *options, const char *const *input_names,                  \
              const ort_object *const *inputs, size_t input_count, const char *const *output_names,            \
              size_t output_count, ort_object **outputs))                                                      \
    ORT_SLOT(CreateSessionOptions, 10, ort_status *, (ort_object **))                                          \
    ORT_SLOT(SetIntraOpNumThreads, 24, ort_status *, (ort_object *, int))                                      \
    ORT_SLOT(SetInterOpNumThreads, 25, ort_status *, (ort_object *, int))                                      \
    ORT_SLOT(SessionGetInputCount, 30, ort_status *, (const ort_object *, size_t *))                           \
    ORT_SLOT(SessionGetOutputCount, 31, ort_status *, (const ort_object *, size_t *))                          \
    ORT_SLOT(SessionGetInputTypeInfo, 33, ort_status *, (const ort_object *, size_t, ort_object **))           \
    ORT_SLOT(SessionGetOutputTypeInfo, 34, ort_status *, (const ort_object *, size_t, ort_object **))          \
    ORT_SLOT(SessionGetInputName, 36, ort_status *, (const ort_object *, size_t, ort_object *allocator, char **))  \
    ORT_SLOT(SessionGetOutputName, 37, ort_status *, (const ort_object *, size_t, ort_object *allocator, char **)) \
    ORT_SLOT(CreateTensorWithDataAsOrtValue, 49, ort_status *,                                                 \
             (const ort_object *memory, void *data, size_t bytes, const int64_t *shape, size_t rank, int type, \
              ort_object **))                                                                                  \
    ORT_SLOT(GetTensorMutableData, 51, ort_status *, (ort_object *, void **))                                  \
    ORT_SLOT(CastTypeInfoToTensorInfo, 55, ort_status *, (const ort_object *, const ort_object **))            \
    ORT_SLOT(GetTensorElementType, 60, ort_status *, (const ort_object *, int *))                              \
    ORT_SLOT(GetDimensionsCount, 61, ort_status *, (const ort_object *, size_t *))                             \
    ORT_SLOT(GetDimensions, 62, ort_status *, (const ort_object *, int64_t *, size_t))                         \
    ORT_SLOT(GetTensorTypeAndShape, 65, ort_status *, (const ort_object *, ort_object **))                     \
    ORT_SLOT(CreateCpuMemoryInfo, 69, ort_status *, (int allocator, int memory, ort_object **))                \
    ORT_SLOT(AllocatorFree, 76, ort_status *, (ort_object *, void *))                                          \
    ORT_SLOT(GetAllocatorWithDefaultOptions, 78, ort_status *, (ort_object **))                                \
    ORT_SLOT(ReleaseStatus, 93, void, (ort_status *))                                                          \
    ORT_SLOT(ReleaseSession, 95, void, (ort_object *))                                                         \
    ORT_SLOT(ReleaseValue, 96, void, (ort_object *))                                                           \
    ORT_SLOT(ReleaseTypeInfo, 98, void, (ort_object *))                                                        \
    ORT_SLOT(ReleaseTensorTypeAndShapeInfo, 99, void, (ort_object *))                                          \
    ORT_SLOT(ReleaseSessionOptions, 100, void, (ort_object *))                                                 \
    ORT_SLOT(AddSessionConfigEntry, 130, ort_status *, (ort_object *, const char *key, const char *value))

#endif
