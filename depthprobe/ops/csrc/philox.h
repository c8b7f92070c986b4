// Philox4x64-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; SC11), as NumPy draws it.
#pragma once

#include "portable.h"

namespace depthprobe {

struct Key {
  uint64_t seed;
  uint64_t offset;
};

constexpr int kPerBlock = 16;  // 16-bit words in one block of Philox

DP_BODY void multiply(uint64_t a, uint64_t b, uint64_t* high, uint64_t* low) {
#ifdef __CUDA_ARCH__
  *high = __umul64hi(a, b);
  *low = a * b;
#else
  __extension__ typedef unsigned __int128 Product;
  const Product product = static_cast<Product>(a) * b;
  *high = static_cast<uint64_t>(product >> 64);
  *low = static_cast<uint64_t>(product);
#endif
}

// Bit w is set where word w of `block` stays below the threshold: the element takes the new path.
DP_BODY uint16_t draw_bits(Key key, uint64_t block, uint32_t threshold) {
  uint64_t word[4] = {block + 1, key.offset, 0, 0};
  uint64_t first = key.seed, second = 0;
  DP_UNROLL
  for (int round = 0; round < 10; ++round) {
    uint64_t high0, low0, high1, low1;
    multiply(0xD2E7470EE14C6C93ULL, word[0], &high0, &low0);
    multiply(0xCA5A826395121157ULL, word[2], &high1, &low1);
    word[0] = high1 ^ word[1] ^ first;
    word[2] = high0 ^ word[3] ^ second;
    word[1] = low1;
    word[3] = low0;
    first += 0x9E3779B97F4A7C15ULL;
    second += 0xBB67AE8584CAA73BULL;
  }
  uint32_t bits = 0;
  DP_UNROLL
  for (int w = 0; w < kPerBlock; ++w) {
    const uint32_t drawn = static_cast<uint32_t>(word[w / 4] >> (16 * (w % 4))) & 0xFFFFu;
    bits |= static_cast<uint32_t>(drawn < threshold) << w;
  }
  return static_cast<uint16_t>(bits);
}

// Bits of draws [begin, begin + 16), which may lie in two blocks.
DP_BODY uint16_t draw_window(Key key, uint64_t begin, int count, uint32_t threshold) {
  const int shift = static_cast<int>(begin % kPerBlock);
  uint32_t bits = draw_bits(key, begin / kPerBlock, threshold);
  if (shift + count > kPerBlock) {
    bits |= static_cast<uint32_t>(draw_bits(key, begin / kPerBlock + 1, threshold)) << kPerBlock;
  }
  return static_cast<uint16_t>(bits >> shift);
}

}  // namespace depthprobe
