/* The interface between gradproof's core and a backend (CPU, CUDA, the test backend): plain C, versioned.
 *
 * A backend is a table of functions (gp_backend) returned by its one exported symbol, gp_backend_entry. It owns
 * devices and memory and hands over a table of kernels; each kernel is a row (op, signature, dtypes, flags,
 * workspace, run), so the interface does not grow with the ops.
 *
 * Who does what. The caller (native/core) allocates outputs and scratch, has already checked shapes and dtypes and has
 * already broadcast (a broadcast axis has stride 0). A kernel never allocates, never broadcasts, never checks, with
 * one exception: data that only it can see (ids, indices) it checks itself and reports through the status cell.
 * `run` enqueues on the context's queue; it may return before the work is done.
 */
#ifndef GRADPROOF_BACKEND_H
#define GRADPROOF_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GP_ABI_VERSION 1u
#define GP_MAX_DIMS 8

/* Element types. The numbers are part of the interface and are repeated in lib/tensor/dtype.ts (a test compares). */
typedef enum gp_dtype {
  GP_NONE = -1, /* an absent optional input */
  GP_F32 = 0,
  GP_F64 = 1,
  GP_F16 = 2,
  GP_BF16 = 3,
  GP_I64 = 4,
  GP_I32 = 5,
  GP_U8 = 6,
  GP_BOOL = 7
} gp_dtype;

/* Outcome of a call or of a launch. Negative values are failures; a launch writes its code into the status cell. */
typedef enum gp_code {
  GP_OK = 0,
  GP_INDEX_OUT_OF_RANGE = -1, /* position: flat position in the index tensor; value: the offending index */
  GP_BAD_VALUE = -2,          /* position: flat position; value: the offending element */
  GP_OUT_OF_MEMORY = -3,      /* value: bytes asked for */
  GP_UNSUPPORTED = -4,
  GP_DEVICE_ERROR = -5, /* the driver or the hardware failed; last_error() has the words */
  GP_BAD_ARGUMENT = -6  /* the core broke the contract of this header */
} gp_code;

/* A strided view of device memory. `data` already includes the view's offset; strides count elements. */
typedef struct gp_view {
  void *data;
  int32_t dtype;
  int32_t ndim;
  int64_t shape[GP_MAX_DIMS];
  int64_t stride[GP_MAX_DIMS];
} gp_view;

/* Written by the first failing launch after the cell was cleared; later failures leave it alone. */
typedef struct gp_status {
  int64_t sequence; /* the launch that failed: gp_call.sequence */
  int32_t code;     /* gp_code */
  int32_t reserved;
  int64_t position;
  double value;
} gp_status;

/* One launch. Inputs and outputs stand in the order of the op's signature. An input declared `name?` has count 0 when
 * absent; one declared `name[]` has count n. `first` gives the position of a declared input (output) in the flat list.
 * A mutated input is listed among the inputs; the kernel writes through it.
 * Attributes are doubles in declared order: numbers as they are, booleans 0/1, choices their position, lists as their
 * length followed by their elements, an absent optional attribute as NaN. */
typedef struct gp_call {
  const gp_view *inputs;
  const int32_t *input_first;
  const int32_t *input_count;
  const gp_view *outputs;
  const int32_t *output_first;
  const int32_t *output_count;
  const double *attrs;
  int32_t n_inputs;  /* declared inputs */
  int32_t n_outputs; /* declared outputs, auxiliary ones included */
  int32_t n_attrs;   /* doubles in attrs */
  int32_t reserved;
  void *workspace; /* at least what the row's workspace() asked for, 64-byte aligned; NULL if 0 */
  size_t workspace_size;
  gp_status *status; /* host-visible memory owned by the core */
  int64_t sequence;
} gp_call;

typedef struct gp_context gp_context; /* one opened device with its queue; opaque to the core */
typedef struct gp_event gp_event;     /* a point in a context's queue */

enum {
  GP_KERNEL_MUTATES = 1u,    /* writes through some of its inputs: skipped once a launch of the same step has failed */
  GP_KERNEL_ANY_STRIDE = 2u, /* every input may be strided; otherwise `strided` tells which */
  GP_KERNEL_STRIDED_OUTPUT = 4u, /* the first output and every other of its rank may be strided: a plan places them */
  GP_KERNEL_WIDENS = 8u,         /* where input 0 is f32, input 1 may be of a half type: a plan leaves its cast out */
  GP_KERNEL_WIDENS_RESULT = 16u, /* the first output may be f32 where inputs are half: what a cast of it would give */
  GP_KERNEL_NARROWS = 32u        /* where input 0 is half, input 1 may be f32 and counts as its cast to that type */
};
/* The accepted dtypes are a mask over the dtype that keys the op: of its first input (not `rng`, not `condition`), or
 * of the input that its declaration names, else of its first output. The caller picks the row; the core does not check.
 */
#define GP_DT(t) (1u << (t))

typedef struct gp_kernel {
  const char *op;
  const char *signature; /* must equal the op's declaration, for example "x weight? -> y | rstd ; eps" */
  uint32_t dtypes;
  uint32_t flags;
  uint64_t strided; /* bit i: declared input i may have any strides; the other inputs arrive contiguous */
  size_t (*workspace)(const gp_call *call); /* bytes of scratch for this call; may be NULL */
  int32_t (*run)(gp_context *context, const struct gp_kernel *self, const gp_call *call); /* gp_code */
} gp_kernel;

typedef struct gp_device_info {
  char name[128];
  char detail[256];     /* instruction set, compute capability, driver: for people */
  int64_t total_memory; /* bytes; 0 when unknown */
  int64_t free_memory;  /* bytes; 0 when unknown */
  int32_t host_memory;  /* 1: the host may read and write device pointers directly */
  int32_t asynchronous; /* 1: run() may return before the work is done */
} gp_device_info;

typedef struct gp_backend {
  uint32_t abi;  /* GP_ABI_VERSION the backend was built with */
  uint32_t size; /* sizeof(gp_backend) it was built with */
  const char *name;
  const char *version;

  /* devices */
  int32_t (*device_count)(void); /* >= 0, or a gp_code: last_error() says why */
  int32_t (*device_info)(int32_t device, gp_device_info *out);
  gp_context *(*open)(int32_t device); /* NULL on failure */
  void (*close)(gp_context *context);
  const char *(*last_error)(void); /* of the calling thread; never NULL */

  /* memory; NULL from alloc means out of memory. upload, download, copy and fill are ordered with the launches. */
  void *(*alloc)(gp_context *context, size_t bytes); /* 64-byte aligned */
  void (*release)(gp_context *context, void *data, size_t bytes);
  int32_t (*upload)(gp_context *context, void *device, const void *host, size_t bytes);   /* host reusable on return */
  int32_t (*download)(gp_context *context, void *host, const void *device, size_t bytes); /* complete on return */
  int32_t (*fill)(gp_context *context, void *device, int32_t byte, size_t bytes);
  int32_t (*copy)(gp_context *context, void *to, const void *from, size_t bytes); /* on the device; may not overlap */
  void *(*pinned_alloc)(gp_context *context, size_t bytes);
  void (*pinned_release)(gp_context *context, void *host, size_t bytes);

  /* kernels */
  const gp_kernel *(*kernels)(size_t *count);

  /* order: wait for everything enqueued; returns the code of an asynchronous failure, if any */
  int32_t (*synchronize)(gp_context *context);
  gp_event *(*event_record)(gp_context *context);
  int32_t (*event_wait)(gp_context *context, gp_event *event); /* the host waits */
  void (*event_release)(gp_event *event);

  /* optional: record launches between begin and end into one replayable graph; NULL where there is no such thing */
  int32_t (*graph_begin)(gp_context *context);
  void *(*graph_end)(gp_context *context);
  int32_t (*graph_launch)(gp_context *context, void *graph);
  void (*graph_release)(void *graph);
} gp_backend;

/* What the core offers to a backend when it is loaded. */
typedef struct gp_host {
  uint32_t abi;
  uint32_t size;
  const gp_backend *cpu; /* the built-in backend */
} gp_host;

/* The one symbol a backend exports. Returns NULL when it does not speak `abi`. */
typedef const gp_backend *(*gp_backend_entry_fn)(uint32_t abi, const gp_host *host);
#define GP_BACKEND_ENTRY "gp_backend_entry"

#ifdef __cplusplus
}
#endif
#endif
