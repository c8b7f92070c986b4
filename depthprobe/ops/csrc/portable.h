// What device code and its rehearsal on the host share: the bodies below are plain functions of (block, thread), so that
// tests/ops/test_rehearsal.py can compile them with g++ and a sanitizer where there is no GPU.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define DP_BODY __host__ __device__ __forceinline__
#else
#define DP_BODY inline
#endif

#ifdef __CUDA_ARCH__
#define DP_UNROLL _Pragma("unroll")
#else
#define DP_UNROLL
#endif

namespace depthprobe {

constexpr int kThreads = 256;
constexpr int kVectorBytes = 16;

template <typename T>
struct alignas(kVectorBytes) Vector {
  static constexpr int kSize = kVectorBytes / sizeof(T);
  T at[kSize];
};

#ifdef __CUDACC__
using Raw = uint4;
#else
struct alignas(kVectorBytes) Raw {
  uint32_t x, y, z, w;
};
#endif

// One 16-byte access: copied member by member, a vector of 2-byte elements becomes eight.
template <typename T>
DP_BODY Vector<T> load(const T* from) {
  const Raw raw = *reinterpret_cast<const Raw*>(from);
  Vector<T> result;
  __builtin_memcpy(static_cast<void*>(&result), &raw, kVectorBytes);
  return result;
}

// Written out for the GPU: the optimiser sinks a plain store into the branches before it and splits it there.
DP_BODY void store_raw(void* to, const Raw& value) {
#ifdef __CUDA_ARCH__
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};"
               :
               : "l"(__cvta_generic_to_global(to)), "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
#else
  *reinterpret_cast<Raw*>(to) = value;
#endif
}

template <typename T>
DP_BODY void store(T* to, const Vector<T>& value) {
  Raw raw;
  __builtin_memcpy(&raw, static_cast<const void*>(&value), kVectorBytes);
  store_raw(to, raw);
}

// Arithmetic happens in float, in double for double: what PyTorch's own element-wise kernels do.
template <typename T>
struct Wide {
  using type = float;
};
template <>
struct Wide<double> {
  using type = double;
};

DP_BODY bool aligned(const void* address, uint64_t bytes) {
  return (reinterpret_cast<uint64_t>(address) & (bytes - 1)) == 0;
}

struct Division {
  int64_t quotient;
  int64_t remainder;
};

// 64-bit division costs several times a 32-bit one, and hardly any tensor needs it.
DP_BODY Division divide(int64_t value, int64_t by) {
  if (((static_cast<uint64_t>(value) | static_cast<uint64_t>(by)) >> 32) == 0) {
    const uint32_t quotient = static_cast<uint32_t>(value) / static_cast<uint32_t>(by);
    return {quotient, value - static_cast<int64_t>(quotient) * by};
  }
  const int64_t quotient = value / by;
  return {quotient, value - quotient * by};
}

}  // namespace depthprobe
