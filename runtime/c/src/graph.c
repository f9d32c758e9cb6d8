/* ONNX Runtime's C API, with its statuses turned into ours. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

enum { MOST_DIMENSIONS = 8 };

static const char cpu[] = "CPUExecutionProvider";

/* Turn a status of ONNX Runtime into ours; it is released. */
static carve_status convert(const OrtApi *api, OrtStatus *status, carve_code code,
                            const char *what) {
    if (!status) return carve_ok;
    carve_status result = failure(code, "%s: %.400s", what, api->GetErrorMessage(status));
    api->ReleaseStatus(status);
    return result;
}

#define ORT(call, code, what) TRY(convert(r->api, r->api->call, code, what))

static void release_env(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseEnv(thing);
}
static void release_memory_info(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseMemoryInfo(thing);
}
static void release_session_options(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseSessionOptions(thing);
}
static void release_session(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseSession(thing);
}
static void release_value(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseValue(thing);
}
static void release_cuda_options(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseCUDAProviderOptions(thing);
}

carve_status runtime_open(scope *owner, runtime *r) {
    r->api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!r->api) {
        return failure(CARVE_UNSUPPORTED,
                       "ONNX Runtime %.20s is older than the headers of this library (API %d). "
                       "Install a newer one.",
                       OrtGetApiBase()->GetVersionString(), ORT_API_VERSION);
    }
    ORT(CreateEnv(ORT_LOGGING_LEVEL_FATAL, "carve", &r->env), CARVE_RUN_ERROR,
        "ONNX Runtime does not start");
    TRY(scope_own(owner, r->env, release_env, r->api));
    ORT(CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &r->memory), CARVE_NO_MEMORY,
        "ONNX Runtime has no memory");
    return scope_own(owner, r->memory, release_memory_info, r->api);
}

static carve_status require_provider(const runtime *r, const char *provider) {
    char **names;
    int count;
    bool available = false;
    ORT(GetAvailableProviders(&names, &count), CARVE_PROVIDER_ERROR, "Providers are not listed");
    for (int i = 0; i < count; i++) available = available || strcmp(names[i], provider) == 0;
    ORT(ReleaseAvailableProviders(names, count), CARVE_PROVIDER_ERROR, "Providers are not listed");
    if (available) return carve_ok;
    return failure(CARVE_PROVIDER_ERROR,
                   "This ONNX Runtime has no %.100s. Use a build that has it, or another provider.",
                   provider);
}

static carve_status append_provider(scope *owner, const runtime *r, OrtSessionOptions *session,
                                    const carve_open_options *options) {
    static const char suffix[] = "ExecutionProvider";
    const char *const key = "device_id";
    char device[16], name[64];
    const char *const value = device;
    TRY(require_provider(r, options->provider));
    snprintf(device, sizeof device, "%d", (int)options->device);
    if (strcmp(options->provider, "CUDAExecutionProvider") == 0) {
        OrtCUDAProviderOptionsV2 *cuda;
        ORT(CreateCUDAProviderOptions(&cuda), CARVE_PROVIDER_ERROR, "CUDA cannot be used");
        TRY(scope_own(owner, cuda, release_cuda_options, r->api));
        ORT(UpdateCUDAProviderOptions(cuda, &key, &value, 1), CARVE_PROVIDER_ERROR,
            "CUDA refuses the device");
        ORT(SessionOptionsAppendExecutionProvider_CUDA_V2(session, cuda), CARVE_PROVIDER_ERROR,
            "CUDA cannot be started");
        return carve_ok;
    }
    /* The general function takes short names, and refuses a device where there is only one. */
    size_t length = strlen(options->provider);
    if (length > sizeof suffix - 1 && length - (sizeof suffix - 1) < sizeof name &&
        strcmp(options->provider + length - (sizeof suffix - 1), suffix) == 0) {
        length -= sizeof suffix - 1;
    }
    snprintf(name, sizeof name, "%.*s", (int)length, options->provider);
    ORT(SessionOptionsAppendExecutionProvider(session, name, &key, &value, options->device ? 1 : 0),
        CARVE_PROVIDER_ERROR, "The provider cannot be started");
    return carve_ok;
}

carve_status session_open(scope *owner, const runtime *r, const char *path,
                          const carve_open_options *options, OrtSession **out) {
    OrtSessionOptions *session;
    ORT(CreateSessionOptions(&session), CARVE_NO_MEMORY, "ONNX Runtime has no memory");
    TRY(scope_own(owner, session, release_session_options, r->api));
    if (options->threads > 0) {
        ORT(SetIntraOpNumThreads(session, options->threads), CARVE_SETTINGS_ERROR, "threads");
    }
    if (options->provider && strcmp(options->provider, cpu) != 0) {
        TRY(append_provider(owner, r, session, options));
    }
    ORT(CreateSession(r->env, path, session, out), CARVE_BUNDLE_ERROR, path);
    return scope_own(owner, *out, release_session, r->api);
}

static size_t element_size(ONNXTensorElementDataType type) {
    switch (type) {
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
            return 1;
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
            return sizeof(float);
        default: /* int64 and double: no other type is used */
            return sizeof(int64_t);
    }
}

carve_status tensor_over(scope *owner, const runtime *r, ONNXTensorElementDataType type,
                         const void *data, const int64_t *shape, size_t rank, OrtValue **out) {
    size_t bytes = element_size(type);
    for (size_t i = 0; i < rank; i++) bytes *= (size_t)shape[i];
    ORT(CreateTensorWithDataAsOrtValue(r->memory, (void *)data, bytes, shape, rank, type, out),
        CARVE_RUN_ERROR, "A tensor cannot be made");
    return scope_own(owner, *out, release_value, r->api);
}

carve_status session_run(scope *owner, const runtime *r, OrtSession *session, const char *name,
                         const feed *feeds, size_t feed_count, const char *const *outputs,
                         OrtValue **values, size_t output_count) {
    const char **names = scope_alloc(owner, feed_count, sizeof *names);
    const OrtValue **inputs = scope_alloc(owner, feed_count, sizeof *inputs);
    if (!names || !inputs) return no_memory();
    for (size_t i = 0; i < feed_count; i++) {
        names[i] = feeds[i].name;
        inputs[i] = feeds[i].value;
    }
    for (size_t i = 0; i < output_count; i++) values[i] = NULL;
    ORT(Run(session, NULL, names, inputs, feed_count, outputs, output_count, values),
        CARVE_RUN_ERROR, name);
    carve_status status = carve_ok;
    for (size_t i = 0; i < output_count; i++) {
        carve_status owned = scope_own(owner, values[i], release_value, r->api);
        if (owned.code != CARVE_OK) status = owned;
    }
    return status;
}

carve_status tensor_read(const runtime *r, const OrtValue *value, const char *name,
                         ONNXTensorElementDataType type, int64_t *shape, size_t rank,
                         const void **data) {
    OrtTensorTypeAndShapeInfo *info;
    ONNXTensorElementDataType actual_type;
    size_t actual_rank;
    int64_t sizes[MOST_DIMENSIONS];
    ORT(GetTensorTypeAndShape(value, &info), CARVE_RUN_ERROR, name);
    OrtStatus *status = r->api->GetTensorElementType(info, &actual_type);
    if (!status) status = r->api->GetDimensionsCount(info, &actual_rank);
    bool fits = !status && actual_type == type && actual_rank == rank && rank <= MOST_DIMENSIONS;
    if (fits) status = r->api->GetDimensions(info, sizes, rank);
    r->api->ReleaseTensorTypeAndShapeInfo(info);
    TRY(convert(r->api, status, CARVE_RUN_ERROR, name));
    for (size_t i = 0; fits && i < rank; i++) {
        fits = shape[i] < 0 || shape[i] == sizes[i];
        shape[i] = sizes[i];
    }
    if (!fits) {
        return failure(CARVE_BUNDLE_ERROR,
                       "The graph's output %s has another type or shape than the manifest implies. "
                       "Copy the bundle again, or export it again.",
                       name);
    }
    void *memory;
    ORT(GetTensorMutableData((OrtValue *)value, &memory), CARVE_RUN_ERROR, name);
    *data = memory;
    return carve_ok;
}
