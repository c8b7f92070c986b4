// Two strided sources joined row by row into one dense output: `head` bytes of a row from `old`, the rest from `new`.
// Bytes, not numbers: one kernel for every type. Without a `new` the rest is zero (the gradient of `old`).
#pragma once

#include "portable.h"

namespace depthprobe {

constexpr int kChunksPerThread = 4;
constexpr int64_t kPrefixBlockBytes = static_cast<int64_t>(kThreads) * kChunksPerThread * kVectorBytes;

struct Prefix {
  char* out;            // dense, aligned to 16 bytes (checked: else unit by unit)
  const char* old_;     // head bytes of row r begin at old_ + r * old_stride
  const char* new_;     // the other row - head bytes at new_ + r * new_stride; null: zeros
  int64_t total;        // bytes of the output
  int64_t row;          // bytes of a row of the output
  int64_t head;         // bytes of a row that come from old_, 0 <= head <= row
  int64_t old_stride;   // bytes, any sign
  int64_t new_stride;   // bytes
  int unit;             // bytes of an element: 1, 2, 4, 8 or 16; all counts above are multiples of it
};

template <typename U>
DP_BODY void load_pieces(const char* from, Raw* into) {
  constexpr int kPieces = kVectorBytes / sizeof(U);
  U pieces[kPieces];
  DP_UNROLL
  for (int i = 0; i < kPieces; ++i) {
    pieces[i] = reinterpret_cast<const U*>(from)[i];
  }
  __builtin_memcpy(into, pieces, kVectorBytes);
}

// 16 bytes from an address of any alignment; neighbouring threads read neighbouring bytes, so the cache lines are whole.
DP_BODY Raw load_vector(const char* from) {
  Raw result;
  if (aligned(from, 16)) {
    result = *reinterpret_cast<const Raw*>(from);
  } else if (aligned(from, 8)) {
    load_pieces<uint64_t>(from, &result);
  } else if (aligned(from, 4)) {
    load_pieces<uint32_t>(from, &result);
  } else if (aligned(from, 2)) {
    load_pieces<uint16_t>(from, &result);
  } else {
    load_pieces<uint8_t>(from, &result);
  }
  return result;
}

template <typename U>
DP_BODY void copy_as(char* to, const char* from) {
  *reinterpret_cast<U*>(to) = from == nullptr ? U{} : *reinterpret_cast<const U*>(from);
}

DP_BODY void copy_unit(char* to, const char* from, int unit) {
  switch (unit) {
    case 1:
      return copy_as<uint8_t>(to, from);
    case 2:
      return copy_as<uint16_t>(to, from);
    case 4:
      return copy_as<uint32_t>(to, from);
    case 8:
      return copy_as<uint64_t>(to, from);
    default:
      copy_as<uint64_t>(to, from);
      return copy_as<uint64_t>(to + 8, from == nullptr ? nullptr : from + 8);
  }
}

// Where byte `column` of row `row` comes from; null stands for zeros.
DP_BODY const char* source_of(const Prefix& p, int64_t row, int64_t column) {
  if (column < p.head) {
    return p.old_ + row * p.old_stride + column;
  }
  return p.new_ == nullptr ? nullptr : p.new_ + row * p.new_stride + (column - p.head);
}

DP_BODY void prefix_chunk(const Prefix& p, int64_t begin) {
  const Division place = divide(begin, p.row);
  int64_t row = place.quotient, column = place.remainder;
  const int64_t end = column + kVectorBytes;
  const bool whole = begin + kVectorBytes <= p.total && end <= p.row && (column >= p.head || end <= p.head);
  if (whole && aligned(p.out + begin, kVectorBytes)) {
    const char* from = source_of(p, row, column);
    const Raw zeros = {0, 0, 0, 0};
    store_raw(p.out + begin, from == nullptr ? zeros : load_vector(from));
    return;
  }
  for (int64_t at = begin; at < begin + kVectorBytes && at < p.total; at += p.unit) {
    copy_unit(p.out + at, source_of(p, row, column), p.unit);
    column += p.unit;
    if (column == p.row) {
      column = 0;
      ++row;
    }
  }
}

DP_BODY void prefix_body(const Prefix& p, int64_t block, int thread) {
  DP_UNROLL
  for (int i = 0; i < kChunksPerThread; ++i) {
    const int64_t begin = block * kPrefixBlockBytes + (static_cast<int64_t>(i) * kThreads + thread) * kVectorBytes;
    if (begin < p.total) {
      prefix_chunk(p, begin);
    }
  }
}

}  // namespace depthprobe
