// The yardstick: Euler–Maruyama on AY §2.1's piecewise-constant SDE as hand-tuned C++, the same algorithm as dynsim's.
//
//     g++ -O3 -march=native scripts/bench/ensemble.cpp -o ensemble
//     ./ensemble n_paths n_steps rounds k0 k1        # k0 k1: the key, dynsim._random.seed_and_key(0)[1]
//
// Noise: Threefry-2x64-20 with counter (path, pair of steps), two words to two normals by Box–Muller, dynsim's
// polynomials. One thread, float64, AVX2 or AVX-512. Prints the best ns per path-step of all rounds, the sum of the
// final states, and the first eight of them with 17 digits. n_steps must be even.

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
constexpr int N = 8;  // doubles in a register
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int N = 4;
#else
#error "needs AVX2 with FMA, or AVX-512: compile with -march=native on such a machine"
#endif
constexpr int BLOCK = 128;  // lanes that stay in the level-1 cache together with their noise
// Independent registers worked on side by side, which hides the latency of each (Threefry: 1.8 ns alone, 1.1 by eight)
constexpr int THREEFRY = 8, BOX_MULLER = 4;
static_assert(BLOCK % (N * THREEFRY) == 0 && BLOCK % (N * BOX_MULLER) == 0);

constexpr double H = 0.04, X0 = 0.25;
// h times the drift, and the diffusion, in the regions (−∞, −1], (−1, 0], (0, 1/5], (1/5, ∞)
constexpr double MU_H[4] = {0.46 * H, -0.34 * H, 2.96 * H, -3.04 * H};
constexpr double SIGMA[4] = {0.08818163074019442, 0.10777754868245984, 0.4996959075277684, 0.4800999895855029};

typedef double F1 __attribute__((vector_size(8 * N), may_alias));
typedef uint64_t U1 __attribute__((vector_size(8 * N), may_alias));
#define INLINE static inline __attribute__((always_inline))
#define EACH for (int j = 0; j < V; j++)

INLINE F1 all(double v) { return v - F1{}; }
INLINE U1 all(uint64_t v) { return v - U1{}; }

// V registers of floats or of words; every operation is done on all of them before the next begins.
template <int V> struct F { F1 v[V]; };
template <int V> struct U { U1 v[V]; };
#define OPERATOR(T, S, op)                                                                                      \
    template <int V> INLINE T<V> operator op(T<V> a, T<V> b) { EACH a.v[j] = a.v[j] op b.v[j]; return a; }      \
    template <int V> INLINE T<V> operator op(T<V> a, S b) { EACH a.v[j] = a.v[j] op b; return a; }              \
    template <int V> INLINE T<V> operator op(S a, T<V> b) { EACH b.v[j] = a op b.v[j]; return b; }
OPERATOR(F, double, +) OPERATOR(F, double, -) OPERATOR(F, double, *) OPERATOR(F, double, /)
OPERATOR(U, uint64_t, +) OPERATOR(U, uint64_t, ^) OPERATOR(U, uint64_t, |) OPERATOR(U, uint64_t, &)
template <int V> INLINE U<V> operator<<(U<V> a, int n) { EACH a.v[j] <<= n; return a; }
template <int V> INLINE U<V> operator>>(U<V> a, int n) { EACH a.v[j] >>= n; return a; }
template <int V> INLINE F<V> as_float(U<V> a) { F<V> r; EACH r.v[j] = (F1)a.v[j]; return r; }
template <int V> INLINE U<V> as_bits(F<V> a) { U<V> r; EACH r.v[j] = (U1)a.v[j]; return r; }
template <int V> INLINE F<V> floats(const double *p) { F<V> r; EACH r.v[j] = ((const F1 *)p)[j]; return r; }
template <int V> INLINE U<V> words(const double *p) { U<V> r; EACH r.v[j] = ((const U1 *)p)[j]; return r; }
template <int V> INLINE void store(double *p, F<V> a) { EACH ((F1 *)p)[j] = a.v[j]; }
template <int V> INLINE void store(double *p, U<V> a) { EACH ((U1 *)p)[j] = a.v[j]; }

// ---- Threefry-2x64-20 ----

template <int R, int V> INLINE U<V> rotate(U<V> x) {
#if !defined(__AVX512F__)  // AVX2 has no rotation; whole bytes turn by one shuffle
    if constexpr (R == 32) {
        EACH x.v[j] = (U1)_mm256_shuffle_epi32((__m256i)x.v[j], 0xB1);
        return x;
    } else if constexpr (R % 8 == 0) {
        alignas(32) int8_t from[32];
        for (int i = 0; i < 32; i++) from[i] = (i & 8) + ((i - R / 8) & 7);
        EACH x.v[j] = (U1)_mm256_shuffle_epi8((__m256i)x.v[j], *(const __m256i *)from);
        return x;
    }
#endif
    return (x << R) | (x >> (64 - R));
}

template <int R, int V> INLINE void mix(U<V> &a, U<V> &b) {
    a = a + b;
    b = rotate<R>(b) ^ a;
}

template <int V> INLINE void inject(U<V> &a, U<V> &b, uint64_t ka, uint64_t kb) {
    a = a + ka;
    b = b + kb;
}

// Counters (a, b) to words (a, b).
template <int V> INLINE void threefry(U<V> &a, U<V> &b, uint64_t k0, uint64_t k1) {
    const uint64_t k2 = k0 ^ k1 ^ 0x1BD11BDAA9FC1A22;
    inject(a, b, k0, k1);
    mix<16>(a, b), mix<42>(a, b), mix<12>(a, b), mix<31>(a, b), inject(a, b, k1, k2 + 1);
    mix<16>(a, b), mix<32>(a, b), mix<24>(a, b), mix<21>(a, b), inject(a, b, k2, k0 + 2);
    mix<16>(a, b), mix<42>(a, b), mix<12>(a, b), mix<31>(a, b), inject(a, b, k0, k1 + 3);
    mix<16>(a, b), mix<32>(a, b), mix<24>(a, b), mix<21>(a, b), inject(a, b, k1, k2 + 4);
    mix<16>(a, b), mix<42>(a, b), mix<12>(a, b), mix<31>(a, b), inject(a, b, k2, k0 + 5);
}

// ---- Box–Muller ----

template <int V> INLINE F<V> one_to_two(U<V> word) { return as_float((word >> 12) | 0x3FF0000000000000); }

template <int V> INLINE F<V> root(F<V> x) {
#if defined(__AVX512F__)
    EACH x.v[j] = (F1)_mm512_sqrt_pd((__m512d)x.v[j]);
#else
    EACH x.v[j] = (F1)_mm256_sqrt_pd((__m256d)x.v[j]);
#endif
    return x;
}

template <int V> INLINE F<V> logarithm(F<V> x) {
    const uint64_t root_half = 0x3FE6A09E667F3BCD;
    const U<V> bits = as_bits(x) + (0x3FF0000000000000 - root_half);
    const F<V> e = as_float((bits >> 52) | 0x4330000000000000) - (4503599627370496.0 + 1023.0);
    const F<V> f = as_float((bits & 0x000FFFFFFFFFFFFF) + root_half) - 1.0;  // x = 2^e (1 + f), 1 + f in [√½, √2)
    const F<V> s = f / (2.0 + f), q = s * s;
    F<V> p = q * 0.14616449685088905054 + 0.15331721600551690549;
    p = p * q + 0.18182889125261882073;
    p = p * q + 0.22222211134795077031;
    p = p * q + 0.28571428625975484946;
    p = p * q + 0.3999999999989950449;
    p = p * q + 0.66666666666666696862;
    const F<V> half = 0.5 * f * f;
    return e * 6.93147180369123816490e-01 - ((half - (s * (half + q * p) + e * 1.90821492927058770002e-10)) - f);
}

// √(−2 h ln(1 − u)), u from the even step's word.
template <int V> INLINE F<V> radius(U<V> word) { return root((-2.0 * H) * logarithm(2.0 - one_to_two(word))); }

template <int V> INLINE F<V> if_negative(U<V> bits, F<V> yes, F<V> no) {
#if defined(__AVX512F__)
    EACH no.v[j] = (F1)_mm512_mask_mov_pd((__m512d)no.v[j], _mm512_movepi64_mask((__m512i)bits.v[j]), (__m512d)yes.v[j]);
#else
    EACH no.v[j] = (F1)_mm256_blendv_pd((__m256d)no.v[j], (__m256d)yes.v[j], (__m256d)bits.v[j]);
#endif
    return no;
}

// Radius and the odd step's word to two normals N(0, h): an eighth turn from the high bits, its quarter from the lowest.
template <int V> INLINE void normals(F<V> radius, U<V> word, F<V> &first, F<V> &second) {
    const F<V> r = one_to_two(word) * 0.25 - 0.375, q = r * r;
    F<V> s = q * 3.7808689593022955184 - 15.093804209987113512;
    F<V> c = q * -1.6968494702918826806 + 7.9030916877516976361;
    s = s * q + 42.058685020160894047;
    c = c * q - 26.426250908622135959;
    s = s * q - 76.705859704274550647;
    c = c * q + 60.24464132886729332;
    s = s * q + 81.605249275948035209;
    c = c * q - 85.456817206522712487;
    s = s * q - 41.341702240399636207;
    c = c * q + 64.939394022667957529;
    s = (s * q + 6.2831853071795864572) * r;
    c = c * q - 19.739208802178716989;
    c = c * q + 1.0;
    const uint64_t sign = uint64_t(1) << 63;
    const U<V> bit0 = word << 63, bit1 = word << 62;
    const F<V> cosine = if_negative(bit0, s, c), sine = if_negative(bit0, c, s);
    first = radius * as_float(as_bits(cosine) ^ ((bit0 ^ bit1) & sign));
    second = radius * as_float(as_bits(sine) ^ (bit1 & sign));
}

// ---- X ← X + h μ(X) + σ(X) ΔW ----

template <int V> INLINE F<V> step(F<V> x, F<V> dw) {
    EACH {
        const F1 y = x.v[j];
        const auto left = y <= -1.0, middle = y <= 0.0, right = y <= 0.2;
        const F1 mu_h = middle ? (left ? all(MU_H[0]) : all(MU_H[1])) : (right ? all(MU_H[2]) : all(MU_H[3]));
        const F1 sigma = middle ? (left ? all(SIGMA[0]) : all(SIGMA[1])) : (right ? all(SIGMA[2]) : all(SIGMA[3]));
        x.v[j] = y + mu_h + sigma * dw.v[j];
    }
    return x;
}

// All steps of one block x (BLOCK,). Three short loops per pair of steps: one fused loop was 10 % slower, its constants
// and V-fold states no longer fitting the registers.
static void advance(double *__restrict x, uint64_t path, int64_t n_pairs, uint64_t k0, uint64_t k1) {
    alignas(64) double even[BLOCK], odd[BLOCK];
    U1 lane;
    for (int j = 0; j < N; j++) lane[j] = path + j;
    for (int64_t pair = 0; pair < n_pairs; pair++) {
        for (int i = 0; i < BLOCK; i += N * THREEFRY) {
            U<THREEFRY> a, b;
            for (int j = 0; j < THREEFRY; j++) a.v[j] = lane + uint64_t(i + N * j), b.v[j] = all(uint64_t(pair));
            threefry(a, b, k0, k1);
            store(even + i, a), store(odd + i, b);
        }
        for (int i = 0; i < BLOCK; i += N * BOX_MULLER) store(even + i, radius(words<BOX_MULLER>(even + i)));
        for (int i = 0; i < BLOCK; i += N * BOX_MULLER) {
            F<BOX_MULLER> first, second;
            normals(floats<BOX_MULLER>(even + i), words<BOX_MULLER>(odd + i), first, second);
            store(x + i, step(step(floats<BOX_MULLER>(x + i), first), second));
        }
    }
}

int main(int argc, char **argv) {
    const int64_t n_paths = argc == 6 ? atoll(argv[1]) : 0, n_steps = argc == 6 ? atoll(argv[2]) : 0;
    if (n_paths < 1 || n_steps < 2 || n_steps % 2) {
        fprintf(stderr, "usage: %s n_paths n_steps rounds k0 k1, with n_steps even\n", argv[0]);
        return 2;
    }
    const uint64_t k0 = strtoull(argv[4], nullptr, 0), k1 = strtoull(argv[5], nullptr, 0);
    const int64_t n_blocks = (n_paths + BLOCK - 1) / BLOCK;
    struct alignas(64) Block { double x[BLOCK]; };
    std::vector<Block> blocks(n_blocks);
    double best = 1e300;
    for (int64_t round = std::max(1LL, atoll(argv[3])); round > 0; round--) {
        const auto began = std::chrono::steady_clock::now();
        for (int64_t b = 0; b < n_blocks; b++) {
            std::fill_n(blocks[b].x, BLOCK, X0);
            advance(blocks[b].x, b * BLOCK, n_steps / 2, k0, k1);
        }
        const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - began;
        best = std::min(best, spent.count() / (double(n_paths) * n_steps));
    }
    const double *x = blocks[0].x;
    double sum = 0.0;
    for (int64_t i = 0; i < n_paths; i++) sum += x[i];
    printf("ns %.4f\nsum %.17g\n", best, sum);
    for (int64_t i = 0; i < std::min<int64_t>(n_paths, 8); i++) printf("x %.17g\n", x[i]);
}
