// dropin_prefix and the gradient of its old path.
#include "host.h"
#include "prefix.h"

namespace depthprobe {
namespace {

__global__ void __launch_bounds__(kThreads) prefix_kernel(const Prefix p) {
  prefix_body(p, static_cast<int64_t>(blockIdx.x), static_cast<int>(threadIdx.x));
}

// Dimensions from the slowest to the fastest in memory.
std::vector<int64_t> order_of(int64_t rank, bool last) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < rank; ++i) {
    order.push_back(!last || i == 0 ? i : (i == rank - 1 ? 1 : i + 1));
  }
  return order;
}

// Whether the tensor is rows, dense from position `split` of the order on, with one stride between them.
bool has_rows(const Tensor& t, const std::vector<int64_t>& order, size_t split, int64_t* stride) {
  int64_t expected = 1;
  for (size_t i = order.size(); i-- > split;) {
    if (t.size(order[i]) != 1 && t.stride(order[i]) != expected) {
      return false;
    }
    expected *= t.size(order[i]);
  }
  *stride = expected;
  bool first = true;
  for (size_t i = split; i-- > 0;) {
    const int64_t size = t.size(order[i]), step = t.stride(order[i]);
    if (size == 1) {
      continue;
    }
    if (first) {
      *stride = step;
    } else if (step != expected) {
      return false;
    }
    first = false;
    expected = step * size;
  }
  return true;
}

struct Rows {
  Tensor tensor;
  int64_t stride;  // elements
};

Rows rows_of(const Tensor& t, const std::vector<int64_t>& order, size_t split, bool last) {
  int64_t stride = 0;
  if (t.numel() == 0) {  // nothing is read; contiguous() would hand back the strides it has
    return {t, 0};
  }
  if (has_rows(t, order, split, &stride)) {
    return {t, stride};
  }
  const Tensor copy = dense(t, last);
  STD_TORCH_CHECK(has_rows(copy, order, split, &stride), "depthprobe: a dense tensor must have rows");
  return {copy, stride};
}

void launch(const Tensor& out, const Tensor& old, const Tensor* fresh, int64_t k, int64_t dim, bool last) {
  const int64_t total = out.numel();
  if (total == 0) {
    return;
  }
  const std::vector<int64_t> order = order_of(out.dim(), last);
  size_t split = 0;
  int64_t inner = 1;
  while (order[split] != dim) {
    ++split;
  }
  for (size_t i = split + 1; i < order.size(); ++i) {
    inner *= out.size(order[i]);
  }
  const int64_t unit = static_cast<int64_t>(out.element_size());
  const Rows old_rows = rows_of(old, order, split, last);
  const Rows new_rows = fresh == nullptr ? Rows{old, 0} : rows_of(*fresh, order, split, last);
  Prefix p{};
  p.out = static_cast<char*>(out.mutable_data_ptr());
  p.old_ = static_cast<const char*>(old_rows.tensor.const_data_ptr());
  p.new_ = fresh == nullptr ? nullptr : static_cast<const char*>(new_rows.tensor.const_data_ptr());
  p.total = total * unit;
  p.row = out.size(dim) * inner * unit;
  p.head = k * inner * unit;
  p.old_stride = old_rows.stride * unit;
  p.new_stride = new_rows.stride * unit;
  p.unit = static_cast<int>(unit);
  const torch::stable::accelerator::DeviceGuard guard(out.get_device_index());
  prefix_kernel<<<blocks_for(p.total, kPrefixBlockBytes), kThreads, 0, current_stream(out)>>>(p);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

Tensor dropin_prefix(Tensor fresh, Tensor old, int64_t k, int64_t dim) {
  check_pair(fresh, old);
  dim = dim < 0 ? dim + old.dim() : dim;
  STD_TORCH_CHECK(dim >= 0 && dim < old.dim(), "depthprobe::dropin_prefix: dim is out of range");
  const int64_t size = old.size(dim);
  k = k < 0 ? 0 : (k > size ? size : k);
  for (int64_t i = 0; i < old.dim(); ++i) {
    STD_TORCH_CHECK(fresh.size(i) == (i == dim ? size - k : old.size(i)),
                    "depthprobe::dropin_prefix: new_part must have old's sizes but ", size - k, " along dim ", dim,
                    ", found ", fresh.size(i), " in dimension ", i);
  }
  const bool last = is_last(old);
  const Tensor out = empty_dense(old, shape_of(old), last);
  launch(out, old, &fresh, k, dim, last);
  return out;
}

Tensor dropin_prefix_backward(Tensor grad, int64_t k, int64_t dim) {
  STD_TORCH_CHECK(grad.is_cuda(), "depthprobe: expected a CUDA tensor");
  dim = dim < 0 ? dim + grad.dim() : dim;
  STD_TORCH_CHECK(dim >= 0 && dim < grad.dim(), "depthprobe::dropin_prefix_backward: dim is out of range");
  const int64_t size = grad.size(dim);
  const bool last = is_last(grad);
  const Tensor out = empty_dense(grad, shape_of(grad), last);
  launch(out, grad, nullptr, k < 0 ? 0 : (k > size ? size : k), dim, last);
  return out;
}

}  // namespace
}  // namespace depthprobe

STABLE_TORCH_LIBRARY_IMPL(depthprobe, CUDA, m) {
  m.impl("dropin_prefix", TORCH_BOX(&depthprobe::dropin_prefix));
  m.impl("dropin_prefix_backward", TORCH_BOX(&depthprobe::dropin_prefix_backward));
}
