// The bodies of the CUDA kernels on the CPU, block by block and thread by thread: what a GPU does with the same indices.
#include <cstddef>
#include <vector>

#include "bernoulli.h"
#include "prefix.h"
#include "resize.h"

using namespace depthprobe;

template <typename T, bool kBackward, bool kVectorised>
static void bernoulli_all(const Bernoulli<T>& b, bool last) {
  if (last) {
    const int size = kVectorised ? Vector<T>::kSize : 1;
    const int64_t threads = (last_threads(b, size) + kThreads - 1) / kThreads * kThreads;
    for (int64_t i = 0; i < threads; ++i) bernoulli_last<T, kBackward, kVectorised>(b, i);
    return;
  }
  for (int64_t block = 0; block * kElementsPerBlock < b.total; ++block) {
    std::vector<uint16_t> shared(kSharedBits);  // the sanitizer guards its end
    for (int t = 0; t < kThreads; ++t) bernoulli_draw(b, block, t, shared.data());
    for (int t = 0; t < kThreads; ++t) bernoulli_select<T, kBackward, kVectorised>(b, block, t, shared.data());
  }
}

template <typename T>
static void bernoulli(const void* first, const void* second, void* out, void* other, const int64_t* n, const double* s,
                      bool last, bool vectors) {
  Bernoulli<T> b{};
  b.first = static_cast<const T*>(first);
  b.second = static_cast<const T*>(second);
  b.out = static_cast<T*>(out);
  b.other = static_cast<T*>(other);
  b.total = n[0], b.inner = n[1], b.channels = n[2], b.positions = n[3];
  b.key = {static_cast<uint64_t>(n[4]), static_cast<uint64_t>(n[5])};
  b.threshold = static_cast<uint32_t>(n[6]);
  b.scale_new = static_cast<typename Wide<T>::type>(s[0]), b.scale_old = static_cast<typename Wide<T>::type>(s[1]);
  if (other != nullptr) {
    vectors ? bernoulli_all<T, true, true>(b, last) : bernoulli_all<T, true, false>(b, last);
  } else {
    vectors ? bernoulli_all<T, false, true>(b, last) : bernoulli_all<T, false, false>(b, last);
  }
}

template <typename W>
static Table<W> table(std::vector<W>& weights, std::vector<int32_t>& ends, int64_t positions, const Axis& axis, bool t) {
  const int64_t taps = most_taps(axis, t);
  weights.assign(static_cast<std::size_t>(positions * taps), W(0));
  ends.assign(static_cast<std::size_t>(2 * positions), 0);
  Table<W> made{weights.data(), ends.data(), ends.data() + positions, positions, taps};
  for (int64_t p = 0; p < positions; ++p) table_row(axis, t, made, p);
  return made;
}

template <typename T>
static void resize(const void* x, void* out, const int64_t* xs, const int64_t* os, const int64_t* x_strides,
                   const int64_t* o_strides, const int64_t* choice, bool transposed, bool cubic, bool last) {
  using W = typename Wide<T>::type;
  const int64_t *in = transposed ? os : xs, *end = transposed ? xs : os;
  const Axis height{in[2], end[2], cubic}, width{in[3], end[3], cubic};
  std::vector<W> row_weights, column_weights;
  std::vector<int32_t> row_ends, column_ends, links(static_cast<std::size_t>(end[1]));
  Resize<T> r{};
  r.x = static_cast<const T*>(x), r.out = static_cast<T*>(out);
  for (int i = 0; i < 4; ++i) r.xs[i] = x_strides[i], r.os[i] = o_strides[i];
  r.batch = os[0], r.channels = os[1], r.height = os[2], r.width = os[3];
  r.used = xs[0], r.in_channels = xs[1], r.choice = choice, r.last = last;
  r.rows = table(row_weights, row_ends, os[2], height, transposed);
  r.columns = table(column_weights, column_ends, os[3], width, transposed);
  for (int64_t c = 0; transposed && c < end[1]; ++c) link_row(choice, in[1], end[1], links.data(), c);
  r.link = transposed ? links.data() : nullptr;
  const int64_t threads = (resize_threads(r) + kThreads - 1) / kThreads * kThreads;
  for (int64_t i = 0; i < threads; ++i) resize_body(r, i);
}

extern "C" {

void run_bits(int64_t seed, int64_t offset, int64_t block, int64_t threshold, uint16_t* bits) {
  *bits = draw_bits({static_cast<uint64_t>(seed), static_cast<uint64_t>(offset)}, static_cast<uint64_t>(block),
                    static_cast<uint32_t>(threshold));
}

void run_prefix(char* out, const char* old_, const char* new_, const int64_t* n, int unit) {
  const Prefix p{out, old_, new_, n[0], n[1], n[2], n[3], n[4], unit};
  for (int64_t block = 0; block * kPrefixBlockBytes < p.total; ++block) {
    for (int t = 0; t < kThreads; ++t) prefix_body(p, block, t);
  }
}

void run_bernoulli(int width, const void* first, const void* second, void* out, void* other, const int64_t* n,
                   const double* s, bool last, bool vectors) {
  width == 8 ? bernoulli<double>(first, second, out, other, n, s, last, vectors)
             : bernoulli<float>(first, second, out, other, n, s, last, vectors);
}

void run_resize(int width, const void* x, void* out, const int64_t* xs, const int64_t* os, const int64_t* x_strides,
                const int64_t* o_strides, const int64_t* choice, bool transposed, bool cubic, bool last) {
  width == 8 ? resize<double>(x, out, xs, os, x_strides, o_strides, choice, transposed, cubic, last)
             : resize<float>(x, out, xs, os, x_strides, o_strides, choice, transposed, cubic, last);
}
}
