// Numbers from one format into another, and quantised rows into numbers, for whoever computes elsewhere.
#pragma once

namespace airllm {
namespace {

// The largest magnitude so far; infinity where a number is infinite or none.
struct Largest {
  vf magnitude = v_zero(), finite = v_zero();  // finite: lanes of 1 where something was not
  inline void see(vf x) {
    const vf size = v_abs(x);
    magnitude = v_max(size, magnitude);
    finite = v_select_lt(size, v_set(__builtin_inff()), finite, v_set(1));
  }
  inline float value() const { return v_reduce_max(finite) > 0 ? __builtin_inff() : v_reduce_max(magnitude); }
};

static inline float larger(float a, float b) { return a > b ? a : b; }

// To nearest, ties to even.
static inline void put(F32, uint8_t *p, vf x) { v_store(reinterpret_cast<float *>(p), x); }
static inline void put(F16, uint8_t *p, vf x) { v_store_f16(p, x); }
static inline void put_n(F32, uint8_t *p, vf x, uint32_t n) { v_store_n(reinterpret_cast<float *>(p), x, n); }
static inline void put_n(F16, uint8_t *p, vf x, uint32_t n) {
  uint8_t all[kLanes * 2];
  v_store_f16(all, x);
  memcpy(p, all, n * 2);
}

template <class From, class To>
AIRLLM_KERNEL float convert_as(From from, To to, uint64_t count, const uint8_t *numbers, uint8_t *out) {
  Largest largest;
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const vf x = w_load(from, numbers + i * from.bytes);
    largest.see(x);
    put(to, out + i * to.bytes, x);
  }
  if (i < count) {
    const vf x = w_load_n(from, numbers + i * from.bytes, uint32_t(count - i));
    largest.see(x);
    put_n(to, out + i * to.bytes, x, uint32_t(count - i));
  }
  return largest.value();
}

// Numbers at any address, to float32 or float16; the largest of them.
static float convert(DType from, DType to, uint64_t count, const uint8_t *numbers, uint8_t *out) {
  float largest = 0;
  with_format(from, [&](auto format) {
    largest = to == DType::F16 ? convert_as(format, F16(), count, numbers, out)
                               : convert_as(format, F32(), count, numbers, out);
  });
  return largest;
}

// Rows [from, from + rows) of those that were given of a packed matrix, the first of which is its row `first`, in the
// order of its own columns. `scratch`: kBlockNumbers bytes and two rows of floats.
static float unpack(const Pass &pass, uint32_t weight, uint32_t first, uint32_t from, uint32_t rows, DType to,
                    uint8_t *out, uint8_t *scratch) {
  const PackedMatrix m = packed_matrix(pass, weight, first);
  float *const numbers = reinterpret_cast<float *>(scratch);
  float *const row = numbers + kBlockNumbers / 4, *const ordered = row + m.k;
  const size_t bytes = size_t(m.k) * format_bytes(to);
  float largest = 0;
  for (uint32_t r = 0; r < rows; r++) {
    for (uint32_t at = 0; at < m.k; at += kMostDepth)
      decode_row(m, from + r, at, least(kMostDepth, m.k - at), numbers, row + at);
    for (uint32_t k = 0; m.columns && k < m.k; k++) ordered[element<int32_t>(m.columns, k)] = row[k];
    const float *const done = m.columns ? ordered : row;
    largest = larger(largest, convert(DType::F32, to, m.k, reinterpret_cast<const uint8_t *>(done), out + r * bytes));
  }
  return largest;
}

}  // namespace
}  // namespace airllm
