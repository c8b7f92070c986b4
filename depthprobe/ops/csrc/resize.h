// Resize and its transpose as one gather: out[n,c,h,w] = sum over tables of weight_h * weight_w * x[n, chain of c, h', w'].
// Every spatial axis has a table of its taps, built on the device first: area and bicubic are both rows of a sparse matrix,
// and the transpose is the same matrix read the other way. Nothing is scattered, so no atomics: the sums have one order.
#pragma once

#include "portable.h"

namespace depthprobe {

constexpr int kSamplesPerThread = 4;

struct Axis {
  int64_t in, out;  // sizes of the forward map
  bool cubic;       // up: bicubic (2-d), else linear (1-d)
};

DP_BODY double cubic_near(double x) { return (1.25 * x - 2.25) * x * x + 1.0; }
DP_BODY double cubic_far(double x) { return ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0; }

DP_BODY int64_t clamped(int64_t index, int64_t size) { return index < 0 ? 0 : (index >= size ? size - 1 : index); }

// Weight of input `i` in output `o`: PyTorch's adaptive average where the axis shrinks, its bicubic with half-pixel centres
// (A = -0.75, clamped borders) or linear where it grows, the identity where it stays.
DP_BODY double weight_of(const Axis& axis, int64_t o, int64_t i) {
  if (axis.in == axis.out) {
    return o == i ? 1.0 : 0.0;
  }
  if (axis.out < axis.in) {
    const int64_t begin = o * axis.in / axis.out, end = ((o + 1) * axis.in + axis.out - 1) / axis.out;
    return i >= begin && i < end ? 1.0 / static_cast<double>(end - begin) : 0.0;
  }
  double at = (static_cast<double>(o) + 0.5) * static_cast<double>(axis.in) / static_cast<double>(axis.out) - 0.5;
  if (!axis.cubic && at < 0.0) {
    at = 0.0;
  }
  int64_t base = static_cast<int64_t>(at);
  base -= static_cast<double>(base) > at ? 1 : 0;
  const double t = at - static_cast<double>(base);
  double sum = 0.0;
  if (!axis.cubic) {
    sum += clamped(base, axis.in) == i ? 1.0 - t : 0.0;
    return sum + (clamped(base + 1, axis.in) == i ? t : 0.0);
  }
  sum += clamped(base - 1, axis.in) == i ? cubic_far(t + 1.0) : 0.0;
  sum += clamped(base, axis.in) == i ? cubic_near(t) : 0.0;
  sum += clamped(base + 1, axis.in) == i ? cubic_near(1.0 - t) : 0.0;
  return sum + (clamped(base + 2, axis.in) == i ? cubic_far(2.0 - t) : 0.0);
}

// Bounds of the taps: what no axis of these sizes exceeds. Rows of the table have this length.
DP_BODY int64_t most_taps(const Axis& axis, bool transposed) {
  if (axis.in == axis.out) {
    return 1;
  }
  if (axis.out < axis.in) {
    return transposed ? 2 : axis.in / axis.out + 2;
  }
  return transposed ? 5 * (axis.out / axis.in + 1) + 2 : 4;
}

// First tap of position `p`: outputs of the map gather inputs, or (transposed) inputs gather outputs.
DP_BODY int64_t first_tap(const Axis& axis, int64_t p, bool transposed) {
  if (axis.in == axis.out) {
    return p;
  }
  if (axis.out < axis.in) {
    return transposed ? (p * axis.out) / axis.in : p * axis.in / axis.out;
  }
  if (!transposed) {
    const int64_t twice = (2 * p + 1) * axis.in - axis.out;  // 2 * axis.out * (position in the input)
    const int64_t base = twice >= 0 ? twice / (2 * axis.out) : -((2 * axis.out - 1 - twice) / (2 * axis.out));
    return clamped(base - 1, axis.in);
  }
  // Output o reaches input i when |position(o) - i| < 2 (borders: anything beyond): o > (i - 2 + 0.5) * out/in - 0.5.
  const int64_t least = ((2 * p - 3) * axis.out - axis.in) / (2 * axis.in) - 1;
  return p <= 2 ? 0 : clamped(least, axis.out);
}

template <typename W>
struct Table {
  W* weights;      // (positions, taps)
  int32_t* first;  // (positions,)
  int32_t* count;  // (positions,)
  int64_t positions, taps;
};

// A row: leading and trailing zeros are cut, so the gather reads what counts.
template <typename W>
DP_BODY void table_row(const Axis& axis, bool transposed, const Table<W>& table, int64_t p) {
  const int64_t sources = transposed ? axis.out : axis.in;
  int64_t begin = first_tap(axis, p, transposed), end = begin + table.taps;
  end = end < sources ? end : sources;
  while (begin < end && weight_of(axis, transposed ? begin : p, transposed ? p : begin) == 0.0) {
    ++begin;
  }
  while (end > begin && weight_of(axis, transposed ? end - 1 : p, transposed ? p : end - 1) == 0.0) {
    --end;
  }
  for (int64_t s = begin; s < end; ++s) {
    table.weights[p * table.taps + (s - begin)] =
        static_cast<W>(weight_of(axis, transposed ? s : p, transposed ? p : s));
  }
  table.first[p] = static_cast<int32_t>(begin);
  table.count[p] = static_cast<int32_t>(end - begin);
}

// Which input channel fills channel c of the output; a choice of any sign is read like Python's modulo.
DP_BODY int64_t filled_from(const int64_t* choice, int64_t in, int64_t c) {
  const int64_t rest = choice[c] % in;
  return rest < 0 ? rest + in : rest;
}

// link[c]: the next channel of the map's output, after c, that is filled from the same input channel; -1 where there is none.
DP_BODY void link_row(const int64_t* choice, int64_t in, int64_t out, int32_t* link, int64_t c) {
  const int64_t mine = c < in ? c : filled_from(choice, in, c);
  int64_t next = c < in ? in : c + 1;
  while (next < out && filled_from(choice, in, next) != mine) {
    ++next;
  }
  link[c] = next < out ? static_cast<int32_t>(next) : -1;
}

template <typename T>
struct Resize {
  using W = typename Wide<T>::type;
  const T* x;
  T* out;
  int64_t xs[4], os[4];                       // strides of x and out, in elements: n, c, h, w
  int64_t batch, channels, height, width;     // of out
  int64_t used;                               // samples of x; out's others are zero
  int64_t in_channels;                        // of x
  const int64_t* choice;                      // forward: fills channels >= in_channels
  const int32_t* link;                        // backward: the chain of channels to add; null forward
  Table<W> rows, columns;
  bool last;                                  // channels vary fastest in memory
};

template <typename T>
DP_BODY int64_t resize_threads(const Resize<T>& r) {
  return (r.batch + kSamplesPerThread - 1) / kSamplesPerThread * r.channels * r.height * r.width;
}

template <typename T>
DP_BODY void gather(const Resize<T>& r, const T* from, int64_t h, int64_t w, int samples, typename Wide<T>::type* sum) {
  using W = typename Wide<T>::type;
  const int rows = r.rows.count[h], columns = r.columns.count[w];
  const W *row_weights = r.rows.weights + h * r.rows.taps, *column_weights = r.columns.weights + w * r.columns.taps;
  from += r.rows.first[h] * r.xs[2] + r.columns.first[w] * r.xs[3];
  for (int j = 0; j < rows; ++j) {
    for (int i = 0; i < columns; ++i) {
      const W weight = row_weights[j] * column_weights[i];
      const T* at = from + j * r.xs[2] + i * r.xs[3];
  DP_UNROLL
      for (int s = 0; s < kSamplesPerThread; ++s) {
        if (s < samples) {
          sum[s] += weight * static_cast<W>(at[s * r.xs[0]]);
        }
      }
    }
  }
}

// Thread `index` takes one position and channel of four samples: the weights are read once for all four.
template <typename T>
DP_BODY void resize_body(const Resize<T>& r, int64_t index) {
  using W = typename Wide<T>::type;
  if (index >= resize_threads(r)) {
    return;
  }
  const int64_t area = r.height * r.width;
  const Division outer = divide(index, r.channels * area);
  const Division inner = divide(outer.remainder, r.last ? r.channels : area);
  const int64_t channel = r.last ? inner.remainder : inner.quotient;
  const Division place = divide(r.last ? inner.quotient : inner.remainder, r.width);
  const int64_t h = place.quotient, w = place.remainder, n = outer.quotient * kSamplesPerThread;
  const int64_t mine = r.batch - n < kSamplesPerThread ? r.batch - n : kSamplesPerThread;
  const int64_t fed = r.used - n < mine ? (r.used > n ? r.used - n : 0) : mine;
  W sum[kSamplesPerThread] = {};
  const T* from = r.x + n * r.xs[0];
  if (fed > 0 && r.link == nullptr) {
    const int64_t source = channel < r.in_channels ? channel : filled_from(r.choice, r.in_channels, channel);
    gather(r, from + source * r.xs[1], h, w, static_cast<int>(fed), sum);
  } else if (fed > 0) {
    for (int64_t c = channel < r.in_channels ? channel : -1; c >= 0; c = r.link[c]) {
      gather(r, from + c * r.xs[1], h, w, static_cast<int>(fed), sum);
    }
  }
  T* to = r.out + n * r.os[0] + channel * r.os[1] + h * r.os[2] + w * r.os[3];
  for (int s = 0; s < mine; ++s) {
    to[s * r.os[0]] = static_cast<T>(sum[s]);
  }
}

}  // namespace depthprobe
