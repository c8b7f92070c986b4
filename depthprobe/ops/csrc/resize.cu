// resize, its transpose, and the prefix of a resized bypass.
#include "host.h"
#include "resize.h"

namespace depthprobe {
namespace {

// Tables of both axes and the links of the channels: one thread per row.
template <typename W>
__global__ void tables_kernel(Axis height, Axis width, Table<W> rows, Table<W> columns, bool transposed,
                              const int64_t* choice, int64_t in, int64_t out, int32_t* link) {
  int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row < rows.positions) {
    return table_row(height, transposed, rows, row);
  }
  row -= rows.positions;
  if (row < columns.positions) {
    return table_row(width, transposed, columns, row);
  }
  row -= columns.positions;
  if (link != nullptr && row < out) {
    link_row(choice, in, out, link, row);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) resize_kernel(const Resize<T> r) {
  resize_body(r, static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
}

// Sizes as (batch, channels, height, width), whatever the rank from 2 to 4; strides of absent dimensions are zero.
void four(const Tensor& t, int64_t sizes[4], int64_t strides[4]) {
  const int64_t rank = t.dim();
  for (int i = 0; i < 4; ++i) {
    const int64_t dim = i < 2 ? i : rank - 4 + i;
    sizes[i] = dim < 2 && i >= 2 ? 1 : t.size(dim);
    strides[i] = dim < 2 && i >= 2 ? 0 : t.stride(dim);
  }
}

template <typename W>
Table<W> table_in(char* memory, int64_t positions, int64_t taps) {
  Table<W> table{};
  table.weights = reinterpret_cast<W*>(memory);
  table.first = reinterpret_cast<int32_t*>(memory + positions * taps * static_cast<int64_t>(sizeof(W)));
  table.count = table.first + positions;
  table.positions = positions;
  table.taps = taps;
  return table;
}

// Bytes of a table, rounded up so that what follows stays aligned.
template <typename W>
int64_t table_bytes(int64_t positions, int64_t taps) {
  const int64_t bytes = positions * taps * static_cast<int64_t>(sizeof(W)) + 2 * positions * 4;
  return (bytes + kVectorBytes - 1) / kVectorBytes * kVectorBytes;
}

// Gathers `out` from `x`. transposed: x is a gradient of the map's output, out the gradient of its input.
template <typename T>
void run(const Tensor& out, const Tensor& x, const Tensor& choice, bool transposed) {
  using W = typename Wide<T>::type;
  int64_t xs[4], os[4];
  Resize<T> r{};
  four(x, xs, r.xs);
  four(out, os, r.os);
  const int64_t *in_sizes = transposed ? os : xs, *out_sizes = transposed ? xs : os;
  const bool cubic = out.dim() == 4;
  const Axis height{in_sizes[2], out_sizes[2], cubic}, width{in_sizes[3], out_sizes[3], cubic};
  const int64_t row_taps = most_taps(height, transposed), column_taps = most_taps(width, transposed);
  const int64_t links = transposed ? out_sizes[1] : 0;
  const int64_t row_bytes = table_bytes<W>(os[2], row_taps), column_bytes = table_bytes<W>(os[3], column_taps);
  const Tensor memory = torch::stable::empty(std::vector<int64_t>{row_bytes + column_bytes + 4 * links + 4},
                                             ScalarType::Byte, std::nullopt, x.device());
  char* base = static_cast<char*>(memory.mutable_data_ptr());
  r.rows = table_in<W>(base, os[2], row_taps);
  r.columns = table_in<W>(base + row_bytes, os[3], column_taps);
  int32_t* link = transposed ? reinterpret_cast<int32_t*>(base + row_bytes + column_bytes) : nullptr;
  r.x = static_cast<const T*>(x.const_data_ptr());
  r.out = static_cast<T*>(out.mutable_data_ptr());
  r.batch = os[0];
  r.channels = os[1];
  r.height = os[2];
  r.width = os[3];
  r.used = xs[0];
  r.in_channels = xs[1];
  r.choice = static_cast<const int64_t*>(choice.const_data_ptr());
  r.link = link;
  r.last = is_last(out) || (os[2] * os[3] == 1);
  const cudaStream_t stream = current_stream(out);
  tables_kernel<W><<<blocks_for(os[2] + os[3] + links, kThreads), kThreads, 0, stream>>>(
      height, width, r.rows, r.columns, transposed, r.choice, in_sizes[1], out_sizes[1], link);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  resize_kernel<T><<<blocks_for(resize_threads(r), kThreads), kThreads, 0, stream>>>(r);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

void check(const Tensor& x, const Tensor& choice, int64_t channels, size_t spatial) {
  STD_TORCH_CHECK(x.is_cuda() && choice.is_cuda() && x.get_device_index() == choice.get_device_index(),
                  "depthprobe::resize: expected x and choice on one CUDA device");
  STD_TORCH_CHECK(x.dim() >= 2 && x.dim() <= 4 && static_cast<size_t>(x.dim()) == spatial + 2,
                  "depthprobe::resize: the kernel takes (B, C), (B, C, L) and (B, C, H, W) to as many dimensions");
  STD_TORCH_CHECK(choice.scalar_type() == ScalarType::Long && choice.is_contiguous() && choice.numel() >= channels,
                  "depthprobe::resize: choice must be dense int64 with one entry per channel of the output");
  for (int64_t i = 1; i < x.dim(); ++i) {
    STD_TORCH_CHECK(x.size(i) > 0 && x.size(i) < 2147483647, "depthprobe::resize: dimension ", i, " of x is out of range");
  }
}

void gather_into(const Tensor& out, const Tensor& x, const Tensor& choice, bool transposed) {
  if (out.numel() == 0) {
    return;
  }
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  by_type(x, "resize", [&](auto zero) { run<decltype(zero)>(out, x, choice, transposed); });
}

Tensor resize(Tensor x, std::vector<int64_t> size, int64_t channels, Tensor choice) {
  check(x, choice, channels, size.size());
  std::vector<int64_t> shape{x.size(0), channels};
  shape.insert(shape.end(), size.begin(), size.end());
  const Tensor out = empty_dense(x, shape, is_last(x));
  gather_into(out, x, choice, false);
  return out;
}

Tensor resize_backward(Tensor grad, std::vector<int64_t> shape, Tensor choice) {
  STD_TORCH_CHECK(grad.is_cuda(), "depthprobe: expected a CUDA tensor");
  STD_TORCH_CHECK(shape.size() >= 2 && shape[0] >= grad.size(0), "depthprobe::resize_backward: shape is too small");
  if (grad.numel() == 0) {  // no sample or no channel was used
    Tensor zeros = empty_dense(grad, shape, is_last(grad));
    return torch::stable::zero_(zeros);
  }
  check(grad, choice, grad.size(1), shape.size() - 2);
  const Tensor out = empty_dense(grad, shape, is_last(grad));
  gather_into(out, grad, choice, true);
  return out;
}

Tensor dropin_prefix_resized(Tensor fresh, Tensor old, int64_t k, int64_t dim, std::vector<int64_t> size,
                             Tensor choice) {
  check_pair(fresh, old);
  STD_TORCH_CHECK(dim == 0 || dim == 1, "depthprobe::dropin_prefix_resized: dim must be 0 or 1");
  std::vector<int64_t> shape{old.size(0), fresh.size(1) + (dim == 1 ? k : 0)};
  shape.insert(shape.end(), size.begin(), size.end());
  check(old, choice, shape[1], size.size());
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t expected = shape[i] - (static_cast<int64_t>(i) == dim ? k : 0);
    STD_TORCH_CHECK(fresh.size(static_cast<int64_t>(i)) == expected,
                    "depthprobe::dropin_prefix_resized: new_part has ", fresh.size(static_cast<int64_t>(i)),
                    " in dimension ", i, ", expected ", expected);
  }
  Tensor out = empty_dense(old, shape, is_last(old));
  if (out.numel() == 0) {
    return out;
  }
  const Tensor head = torch::stable::narrow(out, dim, 0, k);
  Tensor tail = torch::stable::narrow(out, dim, k, shape[static_cast<size_t>(dim)] - k);
  gather_into(head, dim == 0 ? torch::stable::narrow(old, 0, 0, k) : old, choice, false);
  if (tail.numel() > 0) {
    torch::stable::copy_(tail, fresh);
  }
  return out;
}

}  // namespace
}  // namespace depthprobe

STABLE_TORCH_LIBRARY_IMPL(depthprobe, CUDA, m) {
  m.impl("resize", TORCH_BOX(&depthprobe::resize));
  m.impl("resize_backward", TORCH_BOX(&depthprobe::resize_backward));
  m.impl("dropin_prefix_resized", TORCH_BOX(&depthprobe::dropin_prefix_resized));
}
