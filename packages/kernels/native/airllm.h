/*
 * The whole border between TypeScript and native code. Plain structs, status codes, no callbacks.
 * All multi-byte numbers are little-endian; pointers are 64-bit on every platform we build for.
 */
#ifndef AIRLLM_H
#define AIRLLM_H

#include <stdint.h>

#if defined(_WIN32)
#define AIRLLM_EXPORT __declspec(dllexport)
#else
#define AIRLLM_EXPORT __attribute__((visibility("default")))
#endif

/* Raised with every change of a struct below, of the serialised program or of a function. */
#define AIRLLM_ABI_VERSION 7
#define AIRLLM_NONE 0xffffffffu
/* Submissions that a context holds at a time: the one being computed and the next ones. */
#define AIRLLM_PLACES 4u

#ifdef __cplusplus
extern "C" {
#endif

enum airllm_status {
  AIRLLM_OK = 0,
  AIRLLM_BAD_PROGRAM = 1,
  AIRLLM_BAD_CALL = 2,
  AIRLLM_NO_MEMORY = 3,
  AIRLLM_NO_THREADS = 4,
  AIRLLM_UNKNOWN_ISA = 5,
  AIRLLM_MISSING_WEIGHT = 6,
  AIRLLM_MISSING_STATE = 7,
  AIRLLM_MISSING_CARRY = 8
};

/* What bf16 and quantised matrices are multiplied with; matrices in other formats always with float32. */
enum airllm_compute {
  AIRLLM_FLOAT32 = 0,
  AIRLLM_BFLOAT16 = 1 /* activations and decoded weights rounded to bf16, products added in float32 */
};

/* How numbers are stored. */
enum airllm_dtype { AIRLLM_F32 = 0, AIRLLM_F16 = 1, AIRLLM_BF16 = 2 };

typedef struct airllm_context airllm_context; /* a thread pool and the instruction set it computes with */
typedef struct airllm_program airllm_program; /* a compiled graph */

/* Ops [from, to) of a program, where slice_* cut the one linear of the part (AIRLLM_NONE: whole). */
typedef struct {
  uint32_t from, to, slice_from, slice_to;
} airllm_part;

/* Block addresses of one sequence for one state; 0 where a block was given back or never made. */
typedef struct {
  const uint64_t *blocks;
  uint64_t count;
} airllm_kv;

/* One part on the rows of one pass. It and everything pointed to stay as they are until it has been computed. */
typedef struct {
  uint32_t rows, max_rows;
  airllm_part part;
  uint32_t expert; /* AIRLLM_NONE, or which expert the one `expert` op of the part runs */
  uint32_t sequences;
  airllm_part expert_part;     /* of the expert's sub-program */
  const int32_t *sequence;     /* [rows] */
  const int32_t *position;     /* [rows] */
  const int32_t *visible_from; /* [rows] */
  const uint64_t *weights;     /* address per weight of the program (of the sub-program for an expert), 0: absent */
  const uint64_t *carry;       /* address per carry slot, float [max_rows, width] */
  const uint64_t *ropes;       /* address per RoPE table, float [rows, dim]: cosines of dim / 2 angles, then sines */
  const airllm_kv *states;     /* [states of the program][sequences] */
  void *workspace;             /* value v lies at byte 4 * max_rows * column(v), rows contiguous */
} airllm_run;

/* A run with its program: one of those that are handed over together. */
typedef struct {
  const airllm_program *program;
  const airllm_run *run;
} airllm_step;

AIRLLM_EXPORT uint32_t airllm_abi_version(void);
AIRLLM_EXPORT const char *airllm_status_text(int32_t status);
/* Instruction sets that this library has and this CPU runs, best first; NULL past the last. */
AIRLLM_EXPORT const char *airllm_isa(uint32_t index);

/* Whether an instruction set of this CPU multiplies bf16 by an instruction of its own; NULL: the best one. */
AIRLLM_EXPORT uint32_t airllm_isa_has_bf16(const char *isa);

/* isa: a name of airllm_isa, or NULL for the best; compute: an airllm_compute. */
AIRLLM_EXPORT int32_t airllm_context_create(const char *isa, uint32_t threads, uint32_t compute,
                                            airllm_context **context);
/* Waits for the threads to end; no run may be in progress. */
AIRLLM_EXPORT void airllm_context_destroy(airllm_context *context);

/* Copies the bytes; their format is described in program.h. */
AIRLLM_EXPORT int32_t airllm_program_create(const void *bytes, uint64_t length, airllm_program **program);
AIRLLM_EXPORT void airllm_program_destroy(airllm_program *program);

/* Checks the steps and hands them to the context's threads, which compute them one after the other, after those submitted
 * before and without a pause. They stay as they are until they have been computed. `place`, below AIRLLM_PLACES, is free
 * or what was in it has been waited for. Unless the status is AIRLLM_OK, nothing will be run. */
AIRLLM_EXPORT int32_t airllm_submit(airllm_context *context, const airllm_step *steps, uint32_t count, uint32_t place);
/* Sleeps until all steps in that place are done, and says how they went. May be called on another thread. */
AIRLLM_EXPORT int32_t airllm_wait(airllm_context *context, uint32_t place);

/* For who computes elsewhere, on the caller's thread: `count` numbers at any address as F32 or F16, to nearest with ties
 * to even. `largest`: their largest magnitude, infinity where one is infinite or NaN. `isa` as above. */
AIRLLM_EXPORT int32_t airllm_convert(const char *isa, uint32_t from, uint32_t to, uint64_t count, const void *numbers,
                                     void *converted, float *largest);
/* The same of rows [from, from + rows) of a quantised matrix `weight` of the program, in the order of its own columns.
 * weights: as in airllm_run; what comes by rows begins with row `first` of the matrix, as `from` counts. */
AIRLLM_EXPORT int32_t airllm_unpack(const char *isa, const airllm_program *program, const uint64_t *weights,
                                    uint32_t weight, uint32_t first, uint32_t from, uint32_t rows, uint32_t to,
                                    void *numbers, float *largest);

#ifdef __cplusplus
}
#endif
#endif
