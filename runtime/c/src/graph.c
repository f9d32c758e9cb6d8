/* ONNX Runtime's C API, with its statuses turned into ours. */
#include <stdio.h>
#include <string.h>

#include <onnxruntime_session_options_config_keys.h>

#include "internal.h"
#include "lock.h"

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
static void release_binding(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseIoBinding(thing);
}
static void release_run_options(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseRunOptions(thing);
}
static void release_cuda_options(void *thing, const void *api) {
    ((const OrtApi *)api)->ReleaseCUDAProviderOptions(thing);
}

/* What ends runs. Other threads may use it at any time: whoever looks at it or changes it takes the
 * lock, so that the count and what ONNX Runtime is told always agree. */
struct cancelling {
    lock lock;
    OrtRunOptions *run; /* of all runs */
    unsigned turns;     /* how often runs were forbidden or allowed again; odd: forbidden */
};

static void close_cancelling(void *thing, const void *context) {
    (void)context;
    lock_close(&((struct cancelling *)thing)->lock);
}

static carve_status open_cancelling(scope *owner, runtime *r) {
    struct cancelling *c = scope_alloc(owner, 1, sizeof *c);
    if (!c || !lock_open(&c->lock)) return no_memory();
    TRY(scope_own(owner, c, close_cancelling, NULL));
    ORT(CreateRunOptions(&c->run), CARVE_NO_MEMORY, "ONNX Runtime has no memory");
    r->cancelling = c;
    return scope_own(owner, c->run, release_run_options, r->api);
}

static unsigned count_turns(struct cancelling *c) {
    lock_take(&c->lock);
    unsigned turns = c->turns;
    lock_give(&c->lock);
    return turns;
}

carve_status runtime_cancel(runtime *r, bool cancelled) {
    struct cancelling *c = r->cancelling;
    OrtStatus *status = NULL;
    lock_take(&c->lock);
    if (cancelled != (c->turns % 2 == 1)) {
        status = cancelled ? r->api->RunOptionsSetTerminate(c->run)
                           : r->api->RunOptionsUnsetTerminate(c->run);
        if (!status) c->turns++;
    }
    lock_give(&c->lock);
    return convert(r->api, status, CARVE_RUN_ERROR, "Runs cannot be ended or allowed");
}

static carve_status require_provider(const runtime *r) {
    char **names;
    int count;
    bool available = false;
    ORT(GetAvailableProviders(&names, &count), CARVE_PROVIDER_ERROR, "Providers are not listed");
    for (int i = 0; i < count; i++) {
        available = available || strcmp(names[i], r->provider.name) == 0;
    }
    ORT(ReleaseAvailableProviders(names, count), CARVE_PROVIDER_ERROR, "Providers are not listed");
    if (available) return carve_ok;
    return failure(CARVE_PROVIDER_ERROR,
                   "This ONNX Runtime has no %.100s. Use a build that has it, or another provider.",
                   r->provider.name);
}

carve_status runtime_open(scope *owner, const carve_open_options *options, runtime *r) {
    r->api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!r->api) {
        return failure(CARVE_UNSUPPORTED,
                       "ONNX Runtime %.20s is older than the headers of this library (API %d). "
                       "Install a newer one.",
                       OrtGetApiBase()->GetVersionString(), ORT_API_VERSION);
    }
    r->threads = options->threads;
    r->device_number = options->device;
    TRY(provider_find(options, &r->provider));
    TRY(require_provider(r));
    ORT(CreateEnv(ORT_LOGGING_LEVEL_FATAL, "carve", &r->env), CARVE_RUN_ERROR,
        "ONNX Runtime does not start");
    TRY(scope_own(owner, r->env, release_env, r->api));
    TRY(open_cancelling(owner, r));
    ORT(CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &r->host), CARVE_NO_MEMORY,
        "ONNX Runtime has no memory");
    TRY(scope_own(owner, r->host, release_memory_info, r->api));
    r->device = r->host;
    if (!r->provider.memory) return carve_ok;
    ORT(CreateMemoryInfo(r->provider.memory, OrtDeviceAllocator, r->device_number,
                         OrtMemTypeDefault, &r->device),
        CARVE_PROVIDER_ERROR, "The provider's memory cannot be named");
    return scope_own(owner, r->device, release_memory_info, r->api);
}

static carve_status append_provider(scope *owner, const runtime *r, OrtSessionOptions *session) {
    static const char suffix[] = "ExecutionProvider";
    const char *full = r->provider.name;
    char name[64];
    provider_setting given;
    provider_options(&r->provider, r->device_number, &given);
    if (strcmp(full, "CUDAExecutionProvider") == 0) {
        OrtCUDAProviderOptionsV2 *cuda;
        ORT(CreateCUDAProviderOptions(&cuda), CARVE_PROVIDER_ERROR, "CUDA cannot be used");
        TRY(scope_own(owner, cuda, release_cuda_options, r->api));
        ORT(UpdateCUDAProviderOptions(cuda, given.keys, given.values, given.count),
            CARVE_PROVIDER_ERROR, "CUDA refuses its options");
        ORT(SessionOptionsAppendExecutionProvider_CUDA_V2(session, cuda), CARVE_PROVIDER_ERROR,
            "CUDA cannot be started");
        return carve_ok;
    }
    /* The general function takes short names. */
    size_t length = strlen(full);
    if (length > sizeof suffix - 1 && length - (sizeof suffix - 1) < sizeof name &&
        strcmp(full + length - (sizeof suffix - 1), suffix) == 0) {
        length -= sizeof suffix - 1;
    }
    snprintf(name, sizeof name, "%.*s", (int)length, full);
    ORT(SessionOptionsAppendExecutionProvider(session, name, given.keys, given.values, given.count),
        CARVE_PROVIDER_ERROR, "The provider cannot be started");
    return carve_ok;
}

carve_status session_open(scope *owner, const runtime *r, const char *path, bool on_provider,
                          bool widens, OrtSession **out) {
    OrtSessionOptions *session;
    ORT(CreateSessionOptions(&session), CARVE_NO_MEMORY, "ONNX Runtime has no memory");
    TRY(scope_own(owner, session, release_session_options, r->api));
    if (r->threads > 0) {
        ORT(SetIntraOpNumThreads(session, r->threads), CARVE_SETTINGS_ERROR, "threads");
    }
    if (widens) { /* else every widened weight would be held in memory */
        ORT(AddSessionConfigEntry(session, kOrtSessionOptionsDisableSpecifiedOptimizers,
                                  "ConstantFolding"), CARVE_RUN_ERROR, "Optimizers");
        ORT(SetSessionGraphOptimizationLevel(session, ORT_ENABLE_BASIC), CARVE_RUN_ERROR,
            "Optimizers");
    }
    if (on_provider && r->provider.memory) { /* else room is reserved in powers of two */
        ORT(AddSessionConfigEntry(session, kOrtSessionOptionsUseDeviceAllocatorForInitializers,
                                  "1"), CARVE_RUN_ERROR, "Weights");
    }
    if (on_provider && strcmp(r->provider.name, cpu) != 0) {
        TRY(append_provider(owner, r, session));
    }
    const ORTCHAR_T *native;
    TRY(native_path(owner, path, &native));
    ORT(CreateSession(r->env, native, session, out), CARVE_BUNDLE_ERROR, path);
    return scope_own(owner, *out, release_session, r->api);
}

size_t element_size(ONNXTensorElementDataType type) {
    switch (type) {
        case U8:
        case BOOL:
            return 1;
        case F16: /* computed with by the graphs alone */
            return sizeof(uint16_t);
        case F32:
            return sizeof(float);
        default: /* int64 and double: no other type is used */
            return sizeof(int64_t);
    }
}

carve_status tensor_over(scope *owner, const runtime *r, ONNXTensorElementDataType type,
                         const void *data, const int64_t *shape, size_t rank, OrtValue **out) {
    size_t bytes = element_size(type);
    for (size_t i = 0; i < rank; i++) {
        if (shape[i] && bytes > SIZE_MAX / (size_t)shape[i]) return no_memory();
        bytes *= (size_t)shape[i];
    }
    ORT(CreateTensorWithDataAsOrtValue(r->host, (void *)data, bytes, shape, rank, type, out),
        CARVE_RUN_ERROR, "A tensor cannot be made");
    return scope_own(owner, *out, release_value, r->api);
}

static carve_status bind_outputs(const runtime *r, OrtIoBinding *binding, const outputs *expected) {
    const size_t fresh = expected->count - expected->into_count;
    for (size_t i = 0; i < expected->count; i++) {
        const char *name = expected->names[i];
        if (i >= fresh) {
            ORT(BindOutput(binding, name, expected->into[i - fresh]), CARVE_RUN_ERROR, name);
        } else {
            ORT(BindOutputToDevice(binding, name, i < expected->on_host ? r->host : r->device),
                CARVE_RUN_ERROR, name);
        }
    }
    return carve_ok;
}

/* Make the owner own what came out. */
static carve_status bound_outputs(scope *owner, const runtime *r, const OrtIoBinding *binding,
                                  OrtValue **values) {
    OrtAllocator *allocator;
    OrtValue **bound;
    size_t count;
    carve_status status = carve_ok;
    ORT(GetAllocatorWithDefaultOptions(&allocator), CARVE_RUN_ERROR, "Outputs");
    ORT(GetBoundOutputValues(binding, allocator, &bound, &count), CARVE_RUN_ERROR, "Outputs");
    for (size_t i = 0; i < count; i++) {
        values[i] = bound[i];
        carve_status owned = scope_own(owner, values[i], release_value, r->api);
        if (owned.code != CARVE_OK) status = owned;
    }
    ORT(AllocatorFree(allocator, bound), CARVE_RUN_ERROR, "Outputs");
    return status;
}

carve_status session_run(scope *owner, const runtime *r, OrtSession *session, const char *name,
                         const feed *feeds, size_t feed_count, const outputs *expected,
                         OrtValue **values) {
    scope temporary = {NULL};
    OrtIoBinding *binding;
    ORT(CreateIoBinding(session, &binding), CARVE_NO_MEMORY, name);
    TRY(scope_own(&temporary, binding, release_binding, r->api));
    carve_status status = bind_outputs(r, binding, expected);
    for (size_t i = 0; i < feed_count && status.code == CARVE_OK; i++) {
        status = convert(r->api, r->api->BindInput(binding, feeds[i].name, feeds[i].value),
                         CARVE_RUN_ERROR, feeds[i].name);
    }
    if (status.code == CARVE_OK) {
        const unsigned before = count_turns(r->cancelling);
        status = convert(r->api, r->api->RunWithBinding(session, r->cancelling->run, binding),
                         CARVE_RUN_ERROR, name);
        /* Forbidden when it began, or since: perhaps they are allowed again by now. */
        if (status.code != CARVE_OK && (before % 2 || count_turns(r->cancelling) != before)) {
            status = failure(CARVE_CANCELLED, "The call was cancelled. Call carve_cancel with 0 "
                                              "before the next one.");
        }
    }
    if (status.code == CARVE_OK) status = bound_outputs(owner, r, binding, values);
    scope_release(&temporary);
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
