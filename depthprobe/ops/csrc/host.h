// What the three operators share on the host: launches on the current stream, checks, memory formats. LibTorch stable ABI only.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Exception.h>
#include <torch/headeronly/util/Half.h>

#include <vector>

#include "portable.h"

namespace depthprobe {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

inline unsigned int blocks_for(int64_t work, int64_t per_block) {
  const int64_t blocks = (work + per_block - 1) / per_block;
  STD_TORCH_CHECK(blocks <= 2147483647, "depthprobe: the tensor is too large for one launch");
  return static_cast<unsigned int>(blocks);
}

inline void check_pair(const Tensor& a, const Tensor& b) {
  STD_TORCH_CHECK(a.is_cuda() && b.is_cuda(), "depthprobe: expected CUDA tensors");
  STD_TORCH_CHECK(a.get_device_index() == b.get_device_index(), "depthprobe: expected tensors on one device");
  STD_TORCH_CHECK(a.scalar_type() == b.scalar_type(), "depthprobe: expected tensors of one type");
  STD_TORCH_CHECK(a.dim() == b.dim(), "depthprobe: expected tensors of one rank");
}

// Dimensions from the slowest to the fastest in the layout that a result gets: channels last where `like` is, else row-major.
inline bool is_last(const Tensor& like) {
  const int64_t rank = like.dim();
  if ((rank != 4 && rank != 5) || like.is_contiguous()) {
    return false;
  }
  int64_t expected = 1;
  for (int64_t i = 0; i < rank; ++i) {
    const int64_t dim = i == 0 ? 1 : (i == rank - 1 ? 0 : rank - i);
    if (like.size(dim) != 1 && like.stride(dim) != expected) {
      return false;
    }
    expected *= like.size(dim);
  }
  return true;
}

inline MemoryFormat format_of(int64_t rank, bool last) {
  return !last ? MemoryFormat::Contiguous : (rank == 4 ? MemoryFormat::ChannelsLast : MemoryFormat::ChannelsLast3d);
}

inline Tensor dense(const Tensor& tensor, bool last) {
  return torch::stable::contiguous(tensor, format_of(tensor.dim(), last));
}

inline Tensor empty_dense(const Tensor& like, const std::vector<int64_t>& shape, bool last) {
  return torch::stable::empty(
      shape, like.scalar_type(), std::nullopt, like.device(), std::nullopt,
      format_of(static_cast<int64_t>(shape.size()), last));
}

inline std::vector<int64_t> shape_of(const Tensor& tensor) {
  std::vector<int64_t> shape(static_cast<size_t>(tensor.dim()));
  for (size_t i = 0; i < shape.size(); ++i) {
    shape[i] = tensor.size(static_cast<int64_t>(i));
  }
  return shape;
}

// `run(T{})` for the type of the tensor's elements.
template <typename Run>
void by_type(const Tensor& tensor, const char* name, const Run& run) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return run(float{});
    case ScalarType::Double:
      return run(double{});
    case ScalarType::Half:
      return run(torch::headeronly::Half{});
    case ScalarType::BFloat16:
      return run(torch::headeronly::BFloat16{});
    default:
      STD_TORCH_CHECK(false, "depthprobe::", name, " takes float32, float64, float16 and bfloat16");
  }
}

}  // namespace depthprobe
