/* An OpenCL library whose device does nothing: what a program spends on the host is what is left.
 *
 * It has one platform with one device. Objects are numbers, memory is none, every kernel compiles
 * and every launch is done at once; what is read back is zeros. Functions that the program has no
 * use for answer that they can't be used.
 *
 *   RUNG_IDLE_KIND=gpu    the device is a GPU of 132 compute units, else a CPU of 2
 *   RUNG_IDLE_RECORDS=1   the device has cl_khr_command_buffer, else it has not
 *   RUNG_IDLE_CALLS=FILE  how often each function was called, and each kernel launched, is written
 *                         to FILE when the program ends, a line each
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUCCESS 0
#define INVALID_VALUE (-30)
#define INVALID_OPERATION (-59)

#define EXPORT __attribute__((visibility("default")))

/* Called functions and how often; the counts are not exact where threads call at once. */
struct count {
    const char *name;
    long calls;
    struct count *next;
};
static struct count *counts;
#define COUNT                                                                                      \
    do {                                                                                           \
        static struct count count;                                                                 \
        if (count.calls++ == 0) {                                                                  \
            count.name = __func__;                                                                 \
            count.next = counts;                                                                   \
            counts = &count;                                                                       \
        }                                                                                          \
    } while (0)

/* A kernel is its own count. */
static struct count *kernels;

__attribute__((destructor)) static void write_counts(void) {
    const char *path = getenv("RUNG_IDLE_CALLS");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    for (const struct count *count = counts; count; count = count->next)
        fprintf(file, "%s %ld\n", count->name, count->calls);
    for (const struct count *kernel = kernels; kernel; kernel = kernel->next)
        fprintf(file, "kernel %s %ld\n", kernel->name, kernel->calls);
    fclose(file);
}

static int is_gpu(void) {
    const char *kind = getenv("RUNG_IDLE_KIND");
    return kind && strcmp(kind, "gpu") == 0;
}

static int is_recording(void) { return getenv("RUNG_IDLE_RECORDS") != NULL; }

/* A handle that is like no other. */
static void *handle(void) {
    static uintptr_t last = 4096;
    return (void *)__atomic_add_fetch(&last, 64, __ATOMIC_RELAXED);
}

/* Answers a question: the size of the answer, and the answer where there is room. */
static int answer(const void *bytes, size_t size, size_t room, void *value, size_t *asked) {
    if (asked) *asked = size;
    if (!value) return SUCCESS;
    if (room < size) return INVALID_VALUE;
    memcpy(value, bytes, size);
    return SUCCESS;
}

static int answer_text(const char *text, size_t room, void *value, size_t *asked) {
    return answer(text, strlen(text) + 1, room, value, asked);
}

#define PLATFORM ((void *)64)
#define DEVICE ((void *)128)

EXPORT int clGetPlatformIDs(unsigned room, void **platforms, unsigned *found) {
    COUNT;
    if (found) *found = 1;
    if (platforms && room > 0) platforms[0] = PLATFORM;
    return SUCCESS;
}

EXPORT int clGetPlatformInfo(void *platform, unsigned what, size_t room, void *value,
                             size_t *asked) {
    COUNT;
    (void)platform;
    switch (what) {
    case 0x0900: return answer_text("FULL_PROFILE", room, value, asked);
    case 0x0901: return answer_text("OpenCL 1.2 idle", room, value, asked);
    case 0x0904: return answer_text("", room, value, asked);
    default: return answer_text("idle", room, value, asked);
    }
}

EXPORT int clGetDeviceIDs(void *platform, uint64_t kinds, unsigned room, void **devices,
                          unsigned *found) {
    COUNT;
    (void)platform, (void)kinds;
    if (found) *found = 1;
    if (devices && room > 0) devices[0] = DEVICE;
    return SUCCESS;
}

EXPORT int clGetDeviceInfo(void *device, unsigned what, size_t room, void *value, size_t *asked) {
    COUNT;
    (void)device;
    const uint64_t kind = is_gpu() ? 4 : 2, memory = (uint64_t)64 << 30, local = 48 << 10;
    const uint32_t units = is_gpu() ? 132 : 2;
    const size_t items = 1024;
    const uint64_t simultaneous_use = 4;
    switch (what) {
    case 0x1000: return answer(&kind, sizeof kind, room, value, asked);
    case 0x1002: return answer(&units, sizeof units, room, value, asked);
    case 0x1004: return answer(&items, sizeof items, room, value, asked);
    case 0x1010:
    case 0x101f: return answer(&memory, sizeof memory, room, value, asked);
    case 0x1023: return answer(&local, sizeof local, room, value, asked);
    case 0x102e: return answer_text("FULL_PROFILE", room, value, asked);
    case 0x102f: return answer_text("OpenCL 1.2 idle", room, value, asked);
    case 0x103d: return answer_text("OpenCL C 1.2 idle", room, value, asked);
    case 0x1030:
        return answer_text(is_recording() ? "cl_khr_fp64 cl_khr_command_buffer" : "cl_khr_fp64",
                           room, value, asked);
    case 0x12a9: return answer(&simultaneous_use, sizeof simultaneous_use, room, value, asked);
    case 0x102b:
    case 0x102c:
    case 0x102d: return answer_text("idle", room, value, asked);
    default: return INVALID_VALUE;
    }
}

EXPORT void *clCreateContext(const intptr_t *properties, unsigned count, void *const *devices,
                             void *notify, void *data, int *error) {
    COUNT;
    (void)properties, (void)count, (void)devices, (void)notify, (void)data;
    if (error) *error = SUCCESS;
    return handle();
}

EXPORT int clGetContextInfo(void *context, unsigned what, size_t room, void *value,
                            size_t *asked) {
    COUNT;
    (void)context;
    void *const device = DEVICE;
    const unsigned one = 1;
    switch (what) {
    case 0x1081: return answer(&device, sizeof device, room, value, asked);
    case 0x1083: return answer(&one, sizeof one, room, value, asked);
    default: return answer(NULL, 0, room, NULL, asked);
    }
}

EXPORT void *clCreateCommandQueue(void *context, void *device, uint64_t properties, int *error) {
    COUNT;
    (void)context, (void)device, (void)properties;
    if (error) *error = SUCCESS;
    return handle();
}

EXPORT int clGetCommandQueueInfo(void *queue, unsigned what, size_t room, void *value,
                                 size_t *asked) {
    COUNT;
    (void)queue;
    void *const device = DEVICE;
    return what == 0x1091 ? answer(&device, sizeof device, room, value, asked) : INVALID_VALUE;
}

EXPORT void *clCreateBuffer(void *context, uint64_t flags, size_t size, void *host, int *error) {
    COUNT;
    (void)context, (void)flags, (void)size, (void)host;
    if (error) *error = SUCCESS;
    return handle();
}

EXPORT void *clCreateProgramWithSource(void *context, unsigned count, const char **texts,
                                       const size_t *lengths, int *error) {
    COUNT;
    (void)context, (void)count, (void)texts, (void)lengths;
    if (error) *error = SUCCESS;
    return handle();
}

EXPORT int clBuildProgram(void *program, unsigned count, void *const *devices, const char *options,
                          void *notify, void *data) {
    COUNT;
    (void)program, (void)count, (void)devices, (void)options, (void)notify, (void)data;
    return SUCCESS;
}

EXPORT void *clCreateKernel(void *program, const char *name, int *error) {
    COUNT;
    (void)program;
    struct count *kernel = calloc(1, sizeof *kernel);
    if (error) *error = kernel ? SUCCESS : INVALID_OPERATION;
    if (!kernel) return NULL;
    *kernel = (struct count){strdup(name), 0, kernels};
    kernels = kernel;
    return kernel;
}

EXPORT int clGetKernelWorkGroupInfo(void *kernel, void *device, unsigned what, size_t room,
                                    void *value, size_t *asked) {
    COUNT;
    (void)kernel, (void)device;
    const size_t items = 1024;
    return what == 0x11b0 ? answer(&items, sizeof items, room, value, asked) : INVALID_VALUE;
}

EXPORT int clSetKernelArg(void *kernel, unsigned index, size_t size, const void *value) {
    COUNT;
    (void)kernel, (void)index, (void)size, (void)value;
    return SUCCESS;
}

EXPORT int clEnqueueNDRangeKernel(void *queue, void *kernel, unsigned dimensions,
                                  const size_t *offset, const size_t *items, const size_t *group,
                                  unsigned waits, void *const *events, void **event) {
    COUNT;
    ((struct count *)kernel)->calls++;
    (void)queue, (void)dimensions, (void)offset, (void)items, (void)group;
    (void)waits, (void)events;
    if (event) *event = handle();
    return SUCCESS;
}

EXPORT int clEnqueueReadBuffer(void *queue, void *memory, unsigned blocks, size_t offset,
                               size_t size, void *host, unsigned waits, void *const *events,
                               void **event) {
    COUNT;
    (void)queue, (void)memory, (void)blocks, (void)offset, (void)waits, (void)events;
    memset(host, 0, size);
    if (event) *event = handle();
    return SUCCESS;
}

EXPORT int clEnqueueWriteBuffer(void *queue, void *memory, unsigned blocks, size_t offset,
                                size_t size, const void *host, unsigned waits, void *const *events,
                                void **event) {
    COUNT;
    (void)queue, (void)memory, (void)blocks, (void)offset, (void)size, (void)host, (void)waits;
    (void)events;
    if (event) *event = handle();
    return SUCCESS;
}

EXPORT int clEnqueueFillBuffer(void *queue, void *memory, const void *pattern, size_t width,
                               size_t offset, size_t size, unsigned waits, void *const *events,
                               void **event) {
    COUNT;
    (void)queue, (void)memory, (void)pattern, (void)width, (void)offset, (void)size, (void)waits;
    (void)events;
    if (event) *event = handle();
    return SUCCESS;
}

/* Recorded launches: the kernels, the last one first. */
struct launch {
    struct count *kernel;
    const struct launch *before;
};
struct recording {
    const struct launch *last;
};

static void *clCreateCommandBufferKHR(unsigned count, void *const *queues,
                                      const uint64_t *properties, int *error) {
    COUNT;
    (void)count, (void)queues, (void)properties;
    if (error) *error = SUCCESS;
    return calloc(1, sizeof(struct recording));
}

static int clCommandNDRangeKernelKHR(struct recording *recording, void *queue,
                                     const uint64_t *properties, void *kernel, unsigned dimensions,
                                     const size_t *offset, const size_t *items, const size_t *group,
                                     unsigned waits, const unsigned *points, unsigned *point,
                                     void **handle) {
    COUNT;
    (void)queue, (void)properties, (void)dimensions, (void)offset, (void)items, (void)group;
    (void)waits, (void)points, (void)point, (void)handle;
    struct launch *launch = malloc(sizeof *launch);
    if (!launch) return INVALID_OPERATION;
    *launch = (struct launch){kernel, recording->last};
    recording->last = launch;
    return SUCCESS;
}

static int clFinalizeCommandBufferKHR(struct recording *recording) {
    COUNT;
    (void)recording;
    return SUCCESS;
}

static int clEnqueueCommandBufferKHR(unsigned count, void **queues, struct recording *recording,
                                     unsigned waits, void *const *events, void **event) {
    COUNT;
    (void)count, (void)queues, (void)waits, (void)events, (void)event;
    for (const struct launch *launch = recording->last; launch; launch = launch->before)
        launch->kernel->calls++;
    return SUCCESS;
}

static int clReleaseCommandBufferKHR(struct recording *recording) {
    COUNT;
    (void)recording;
    return SUCCESS;
}

EXPORT void *clGetExtensionFunctionAddressForPlatform(void *platform, const char *name) {
    COUNT;
    (void)platform;
#define FUNCTION(of)                                                                               \
    if (strcmp(name, #of) == 0) return (void *)of;
    FUNCTION(clCreateCommandBufferKHR)
    FUNCTION(clCommandNDRangeKernelKHR)
    FUNCTION(clFinalizeCommandBufferKHR)
    FUNCTION(clEnqueueCommandBufferKHR)
    FUNCTION(clReleaseCommandBufferKHR)
    return NULL;
}

/* What takes an object and has nothing to do. */
#define NOTHING(name)                                                                              \
    EXPORT int name(void *object) {                                                                \
        COUNT;                                                                                     \
        (void)object;                                                                              \
        return SUCCESS;                                                                            \
    }
NOTHING(clRetainDevice)
NOTHING(clReleaseDevice)
NOTHING(clRetainContext)
NOTHING(clReleaseContext)
NOTHING(clRetainCommandQueue)
NOTHING(clReleaseCommandQueue)
NOTHING(clRetainMemObject)
NOTHING(clReleaseMemObject)
NOTHING(clRetainProgram)
NOTHING(clReleaseProgram)
NOTHING(clRetainKernel)
NOTHING(clReleaseKernel)
NOTHING(clRetainEvent)
NOTHING(clReleaseEvent)
NOTHING(clFlush)
NOTHING(clFinish)

/* What the program does not use, whatever the arguments. */
#define UNUSED(name)                                                                               \
    EXPORT intptr_t name(void) { return INVALID_OPERATION; }
UNUSED(clCreateSubDevices)
UNUSED(clGetSupportedImageFormats)
UNUSED(clGetMemObjectInfo)
UNUSED(clGetImageInfo)
UNUSED(clSetMemObjectDestructorCallback)
UNUSED(clRetainSampler)
UNUSED(clReleaseSampler)
UNUSED(clGetSamplerInfo)
UNUSED(clCompileProgram)
UNUSED(clGetProgramInfo)
UNUSED(clGetProgramBuildInfo)
UNUSED(clCreateKernelsInProgram)
UNUSED(clGetKernelInfo)
UNUSED(clGetKernelArgInfo)
UNUSED(clWaitForEvents)
UNUSED(clGetEventInfo)
UNUSED(clSetUserEventStatus)
UNUSED(clSetEventCallback)
UNUSED(clGetEventProfilingInfo)
UNUSED(clEnqueueReadBufferRect)
UNUSED(clEnqueueWriteBufferRect)
UNUSED(clEnqueueCopyBuffer)
UNUSED(clEnqueueCopyBufferRect)
UNUSED(clEnqueueReadImage)
UNUSED(clEnqueueWriteImage)
UNUSED(clEnqueueFillImage)
UNUSED(clEnqueueCopyImage)
UNUSED(clEnqueueCopyImageToBuffer)
UNUSED(clEnqueueCopyBufferToImage)
UNUSED(clEnqueueUnmapMemObject)
UNUSED(clEnqueueMigrateMemObjects)
UNUSED(clEnqueueTask)
UNUSED(clEnqueueNativeKernel)
UNUSED(clEnqueueMarkerWithWaitList)
UNUSED(clEnqueueBarrierWithWaitList)

/* The same for what creates an object: its last argument is where the error goes, but the program
 * does not call these. */
#define UNUSED_OBJECT(name)                                                                        \
    EXPORT void *name(void) { return NULL; }
UNUSED_OBJECT(clCreateContextFromType)
UNUSED_OBJECT(clCreateSubBuffer)
UNUSED_OBJECT(clCreateImage)
UNUSED_OBJECT(clCreateSampler)
UNUSED_OBJECT(clCreateProgramWithBinary)
UNUSED_OBJECT(clLinkProgram)
UNUSED_OBJECT(clCreateUserEvent)
UNUSED_OBJECT(clEnqueueMapBuffer)
UNUSED_OBJECT(clEnqueueMapImage)
