// Select by counter-based draws, forward and backward. Row-major tensors: a block draws the bits of its stretch into shared
// memory, then its threads stream vectors. channels_last: a thread takes a vector of channels over 16 positions, because
// draws are counted in row-major order whatever the layout.
#pragma once

#include "philox.h"

namespace depthprobe {

constexpr int kElementsPerBlock = kThreads * kPerBlock;
constexpr int kSharedBits = kThreads + 2;  // a stretch of 4096 draws may begin and end inside a block of Philox

template <typename T>
struct Bernoulli {
  const T* first;   // forward: new; backward: the gradient
  const T* second;  // forward: old; backward: unused
  T* out;           // forward: the mix; backward: gradient of new
  T* other;         // backward: gradient of old
  int64_t total;    // elements
  int64_t inner;    // elements that share a draw, in row-major order
  int64_t channels, positions;  // channels_last only
  Key key;
  uint32_t threshold;  // below it: new; 1..65535
  typename Wide<T>::type scale_new, scale_old;
};

template <typename T>
DP_BODY T scaled(T value, typename Wide<T>::type scale) {
  return scale == typename Wide<T>::type(1) ? value : static_cast<T>(static_cast<typename Wide<T>::type>(value) * scale);
}

template <typename T, bool kBackward>
DP_BODY void select_one(const Bernoulli<T>& b, int64_t at, bool fresh) {
  if constexpr (kBackward) {
    const T grad = b.first[at], zero = static_cast<T>(0.0f);
    b.out[at] = fresh ? scaled(grad, b.scale_new) : zero;
    b.other[at] = fresh ? zero : scaled(grad, b.scale_old);
  } else {
    b.out[at] = fresh ? scaled(b.first[at], b.scale_new) : scaled(b.second[at], b.scale_old);
  }
}

// `bits`: bit i decides element i of the vector at `at`, which must be aligned in every tensor involved.
template <typename T, bool kBackward>
DP_BODY void select_vector(const Bernoulli<T>& b, int64_t at, uint32_t bits) {
  using V = Vector<T>;
  const V first = load(b.first + at);
  V out, other;
  if constexpr (!kBackward) {
    other = load(b.second + at);
  }
  DP_UNROLL
  for (int i = 0; i < V::kSize; ++i) {
    const bool fresh = ((bits >> i) & 1u) != 0;
    const T zero = static_cast<T>(0.0f);
    if constexpr (kBackward) {
      out.at[i] = fresh ? scaled(first.at[i], b.scale_new) : zero;
      other.at[i] = fresh ? zero : scaled(first.at[i], b.scale_old);
    } else {
      out.at[i] = fresh ? scaled(first.at[i], b.scale_new) : scaled(other.at[i], b.scale_old);
    }
  }
  store(b.out + at, out);
  if constexpr (kBackward) {
    store(b.other + at, other);
  }
}

struct Stretch {
  int64_t first_block;  // of Philox
  int64_t inside;       // draws of that block before the stretch's first, times inner, plus elements into that draw
  int blocks;
};

// The blocks of Philox that elements [begin, begin + count) need.
DP_BODY Stretch stretch_of(int64_t begin, int64_t count, int64_t inner) {
  const int64_t first = divide(begin, inner).quotient, last = divide(begin + count - 1, inner).quotient;
  const int64_t block = first / kPerBlock;
  return {block, begin - block * kPerBlock * inner, static_cast<int>(last / kPerBlock - block + 1)};
}

template <typename T>
DP_BODY int64_t stretch_count(const Bernoulli<T>& b, int64_t block) {
  const int64_t left = b.total - block * kElementsPerBlock;
  return left < kElementsPerBlock ? left : kElementsPerBlock;
}

// First phase: the block's threads draw the bits; a barrier follows.
template <typename T>
DP_BODY void bernoulli_draw(const Bernoulli<T>& b, int64_t block, int thread, uint16_t* shared) {
  const Stretch s = stretch_of(block * kElementsPerBlock, stretch_count(b, block), b.inner);
  for (int i = thread; i < s.blocks; i += kThreads) {
    shared[i] = draw_bits(b.key, static_cast<uint64_t>(s.first_block + i), b.threshold);
  }
}

DP_BODY bool bit_of(const uint16_t* shared, int64_t draw) {
  return ((shared[draw / kPerBlock] >> (draw % kPerBlock)) & 1) != 0;
}

// Bits of the `count` elements that begin `local` elements into the stretch.
DP_BODY uint32_t bits_of(const uint16_t* shared, const Stretch& s, int64_t local, int count, int64_t inner) {
  if (inner == 1 && (s.inside + local) % kPerBlock + count <= kPerBlock) {
    return static_cast<uint32_t>(shared[(s.inside + local) / kPerBlock]) >> ((s.inside + local) % kPerBlock);
  }
  const Division place = divide(s.inside + local, inner);
  if (place.remainder + count <= inner) {
    return bit_of(shared, place.quotient) ? 0xFFFFFFFFu : 0u;
  }
  uint32_t bits = 0;
  int64_t draw = place.quotient, into = place.remainder;
  for (int i = 0; i < count; ++i) {
    bits |= static_cast<uint32_t>(bit_of(shared, draw)) << i;
    if (++into == inner) {
      into = 0;
      ++draw;
    }
  }
  return bits;
}

// Second phase: neighbouring threads take neighbouring vectors (`kVectorised`: all pointers are aligned) or elements.
template <typename T, bool kBackward, bool kVectorised>
DP_BODY void bernoulli_select(const Bernoulli<T>& b, int64_t block, int thread, const uint16_t* shared) {
  constexpr int kSize = kVectorised ? Vector<T>::kSize : 1;
  const int64_t begin = block * kElementsPerBlock;
  const int count = static_cast<int>(stretch_count(b, block));
  const Stretch s = stretch_of(begin, count, b.inner);
  for (int local = thread * kSize; local < count; local += kThreads * kSize) {
    if (kVectorised && local + kSize <= count) {
      select_vector<T, kBackward>(b, begin + local, bits_of(shared, s, local, kSize, b.inner));
    } else {
      for (int i = local; i < local + kSize && i < count; ++i) {
        select_one<T, kBackward>(b, begin + i, (bits_of(shared, s, i, 1, b.inner) & 1u) != 0);
      }
    }
  }
}

// channels_last: thread `index` takes kSize channels and 16 positions of one sample. `inner` is 1 (elements), `positions`
// (channels) or a whole sample.
template <typename T, bool kBackward, bool kVectorised>
DP_BODY void bernoulli_last(const Bernoulli<T>& b, int64_t index) {
  constexpr int kSize = kVectorised ? Vector<T>::kSize : 1;
  const int64_t groups = (b.positions + kPerBlock - 1) / kPerBlock, vectors = b.channels / kSize;
  const Division by_vector = divide(index, vectors);
  const Division by_group = divide(by_vector.quotient, groups);
  const int64_t channel = by_vector.remainder * kSize, position = by_group.remainder * kPerBlock;
  const int64_t sample = by_group.quotient;
  if (sample >= b.total / (b.channels * b.positions)) {
    return;
  }
  const int64_t left = b.positions - position;
  const int count = left < kPerBlock ? static_cast<int>(left) : kPerBlock;
  uint16_t bits[kSize];
  DP_UNROLL
  for (int i = 0; i < kSize; ++i) {
    const int64_t element = (sample * b.channels + channel + i) * b.positions + position;
    const int64_t draw = b.inner == 1 ? element : divide(element, b.inner).quotient;
    const uint16_t drawn = draw_window(b.key, static_cast<uint64_t>(draw), b.inner == 1 ? count : 1, b.threshold);
    bits[i] = b.inner == 1 ? drawn : static_cast<uint16_t>((drawn & 1) != 0 ? 0xFFFF : 0);
  }
  for (int j = 0; j < count; ++j) {
    const int64_t at = (sample * b.positions + position + j) * b.channels + channel;
    uint32_t now = 0;
  DP_UNROLL
    for (int i = 0; i < kSize; ++i) {
      now |= static_cast<uint32_t>((bits[i] >> j) & 1) << i;
    }
    if (kVectorised) {
      select_vector<T, kBackward>(b, at, now);
    } else {
      select_one<T, kBackward>(b, at, (now & 1u) != 0);
    }
  }
}

template <typename T>
DP_BODY int64_t last_threads(const Bernoulli<T>& b, int size) {
  const int64_t groups = (b.positions + kPerBlock - 1) / kPerBlock;
  return b.total / (b.channels * b.positions) * groups * (b.channels / size);
}

}  // namespace depthprobe
