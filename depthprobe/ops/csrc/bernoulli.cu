// dropin_bernoulli and its backward: the same draws in both, no mask in memory.
#include "bernoulli.h"
#include "host.h"

namespace depthprobe {
namespace {

template <typename T, bool kBackward, bool kVectorised>
__global__ void __launch_bounds__(kThreads) rows_kernel(const Bernoulli<T> b) {
  __shared__ uint16_t bits[kSharedBits];
  const int64_t block = static_cast<int64_t>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  bernoulli_draw(b, block, thread, bits);
  __syncthreads();
  bernoulli_select<T, kBackward, kVectorised>(b, block, thread, bits);
}

template <typename T, bool kBackward, bool kVectorised>
__global__ void __launch_bounds__(kThreads) last_kernel(const Bernoulli<T> b) {
  bernoulli_last<T, kBackward, kVectorised>(b, static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
}

template <typename T, bool kBackward>
void launch(const Bernoulli<T>& b, bool last, cudaStream_t stream) {
  constexpr int kSize = Vector<T>::kSize;
  bool vectors = aligned(b.first, kVectorBytes) && aligned(b.out, kVectorBytes);
  vectors = vectors && aligned(kBackward ? static_cast<const void*>(b.other) : b.second, kVectorBytes);
  if (last) {
    vectors = vectors && b.channels % kSize == 0;
    const unsigned int blocks = blocks_for(last_threads(b, vectors ? kSize : 1), kThreads);
    if (vectors) {
      last_kernel<T, kBackward, true><<<blocks, kThreads, 0, stream>>>(b);
    } else {
      last_kernel<T, kBackward, false><<<blocks, kThreads, 0, stream>>>(b);
    }
  } else {
    const unsigned int blocks = blocks_for(b.total, kElementsPerBlock);
    if (vectors) {
      rows_kernel<T, kBackward, true><<<blocks, kThreads, 0, stream>>>(b);
    } else {
      rows_kernel<T, kBackward, false><<<blocks, kThreads, 0, stream>>>(b);
    }
  }
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

struct Draw {
  int64_t seed;
  Tensor offset;
  int64_t threshold;
  int64_t entries;
  double scale_new, scale_old;
};

// Elements that share a draw, in row-major order.
int64_t inner_of(const Tensor& t, int64_t entries) {
  STD_TORCH_CHECK(entries >= 0 && entries <= t.dim(), "depthprobe::dropin_bernoulli: entries is out of range");
  int64_t inner = 1;
  for (int64_t i = entries == 0 ? t.dim() : entries; i < t.dim(); ++i) {
    inner *= t.size(i);
  }
  return inner;
}

template <typename T>
Bernoulli<T> plan(const Tensor& like, const Draw& draw, bool last) {
  STD_TORCH_CHECK(draw.offset.is_cpu() && draw.offset.numel() == 1 && draw.offset.scalar_type() == ScalarType::Long,
                  "depthprobe::dropin_bernoulli: offset must be one int64 on the CPU");
  STD_TORCH_CHECK(draw.threshold >= 0 && draw.threshold <= 65536,
                  "depthprobe::dropin_bernoulli: threshold must lie in [0, 65536]");
  Bernoulli<T> b{};
  b.total = like.numel();
  b.inner = inner_of(like, draw.entries);
  b.channels = last ? like.size(1) : 1;
  b.positions = last ? b.total / (like.size(0) * b.channels) : 1;
  b.key = {static_cast<uint64_t>(draw.seed),
           static_cast<uint64_t>(*static_cast<const int64_t*>(draw.offset.const_data_ptr()))};
  b.threshold = static_cast<uint32_t>(draw.threshold);
  b.scale_new = static_cast<typename Wide<T>::type>(draw.scale_new);
  b.scale_old = static_cast<typename Wide<T>::type>(draw.scale_old);
  return b;
}

template <typename T>
const T* reading(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}

template <typename T>
T* writing(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

Tensor dropin_bernoulli(Tensor fresh, Tensor old, int64_t seed, Tensor offset, int64_t threshold, int64_t entries,
                        double scale_new, double scale_old) {
  check_pair(fresh, old);
  for (int64_t i = 0; i < old.dim(); ++i) {
    STD_TORCH_CHECK(fresh.size(i) == old.size(i), "depthprobe::dropin_bernoulli: expected equal shapes, found ",
                    fresh.size(i), " and ", old.size(i), " in dimension ", i);
  }
  const bool last = is_last(fresh);
  const Tensor out = empty_dense(fresh, shape_of(fresh), last);
  if (out.numel() == 0) {
    return out;
  }
  const torch::stable::accelerator::DeviceGuard guard(out.get_device_index());
  const Tensor a = dense(fresh, last), b = dense(old, last);
  by_type(out, "dropin_bernoulli", [&](auto zero) {
    using T = decltype(zero);
    Bernoulli<T> mix = plan<T>(out, {seed, offset, threshold, entries, scale_new, scale_old}, last);
    mix.first = reading<T>(a);
    mix.second = reading<T>(b);
    mix.out = writing<T>(out);
    launch<T, false>(mix, last, current_stream(out));
  });
  return out;
}

std::tuple<Tensor, Tensor> dropin_bernoulli_backward(Tensor grad, int64_t seed, Tensor offset, int64_t threshold,
                                                     int64_t entries, double scale_new, double scale_old) {
  STD_TORCH_CHECK(grad.is_cuda(), "depthprobe: expected a CUDA tensor");
  const bool last = is_last(grad);
  const Tensor fresh = empty_dense(grad, shape_of(grad), last), old = empty_dense(grad, shape_of(grad), last);
  if (grad.numel() == 0) {
    return {fresh, old};
  }
  const torch::stable::accelerator::DeviceGuard guard(grad.get_device_index());
  const Tensor given = dense(grad, last);
  by_type(grad, "dropin_bernoulli_backward", [&](auto zero) {
    using T = decltype(zero);
    Bernoulli<T> mix = plan<T>(grad, {seed, offset, threshold, entries, scale_new, scale_old}, last);
    mix.first = reading<T>(given);
    mix.out = writing<T>(fresh);
    mix.other = writing<T>(old);
    launch<T, true>(mix, last, current_stream(grad));
  });
  return {fresh, old};
}

}  // namespace
}  // namespace depthprobe

STABLE_TORCH_LIBRARY_IMPL(depthprobe, CUDA, m) {
  m.impl("dropin_bernoulli", TORCH_BOX(&depthprobe::dropin_bernoulli));
  m.impl("dropin_bernoulli_backward", TORCH_BOX(&depthprobe::dropin_bernoulli_backward));
}
