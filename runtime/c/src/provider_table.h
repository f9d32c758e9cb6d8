/* Written by `python -m tools.checks.settings_table --write`: do not edit. */
#ifndef CARVE_PROVIDER_TABLE_H
#define CARVE_PROVIDER_TABLE_H

/* Providers: name, the option that names the device, the device that is taken where they
 * are not numbered, where outputs can stay unless that is the host, whether its
 * GroupQueryAttention appends to caches of float32 and of float16 in place, its options. */
#define PROVIDERS(X)                                                                               \
    X("CPUExecutionProvider", NULL, NULL, NULL, true, true, NULL)                                  \
    X("CUDAExecutionProvider", "device_id", NULL, "Cuda", false, true, "use_tf32", "0", NULL)      \
    X("TensorrtExecutionProvider", "device_id", NULL, "Cuda", false, false, NULL)                  \
    X("NvTensorRTRTXExecutionProvider", "device_id", NULL, "Cuda", false, false, NULL)             \
    X("OpenVINOExecutionProvider", "device_type", "CPU", NULL, false, false, "precision", "FP32",  \
      NULL)

#endif
