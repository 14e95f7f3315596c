// The groups of a panel by rows. Included by files that may use AVX2.

INLINE void transpose_packed(const uint8_t *packed, uint8_t *rows) {
    __m256i line[4];
    for (int i = 0; i < 4; i++) line[i] = _mm256_loadu_si256((const __m256i *)(packed + i * 32));
    __m256i low = _mm256_unpacklo_epi32(line[0], line[1]), low_rest = _mm256_unpacklo_epi32(line[2], line[3]);
    __m256i high = _mm256_unpackhi_epi32(line[0], line[1]), high_rest = _mm256_unpackhi_epi32(line[2], line[3]);
    // Row i in the lower half and row i + 4 in the upper one.
    __m256i both[4] = {
        _mm256_unpacklo_epi64(low, low_rest), _mm256_unpackhi_epi64(low, low_rest),
        _mm256_unpacklo_epi64(high, high_rest), _mm256_unpackhi_epi64(high, high_rest)};
    for (int i = 0; i < 4; i++) {
        _mm_store_si128((__m128i *)(rows + i * 16), _mm256_castsi256_si128(both[i]));
        _mm_store_si128((__m128i *)(rows + (i + 4) * 16), _mm256_extracti128_si256(both[i], 1));
    }
}

INLINE void transpose_group(const int8_t *codes, int8_t *rows) {
    __m256i line[8], pair[8], four[8];
    for (int i = 0; i < 8; i++) line[i] = _mm256_loadu_si256((const __m256i *)(codes + i * 32));
    for (int i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_epi32(line[i], line[i + 1]);
        pair[i + 1] = _mm256_unpackhi_epi32(line[i], line[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        four[i] = _mm256_unpacklo_epi64(pair[i], pair[i + 2]);
        four[i + 1] = _mm256_unpackhi_epi64(pair[i], pair[i + 2]);
        four[i + 2] = _mm256_unpacklo_epi64(pair[i + 1], pair[i + 3]);
        four[i + 3] = _mm256_unpackhi_epi64(pair[i + 1], pair[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        __m256i low = _mm256_permute2x128_si256(four[i], four[4 + i], 0x20);
        __m256i high = _mm256_permute2x128_si256(four[i], four[4 + i], 0x31);
        _mm256_store_si256((__m256i *)(rows + i * 32), low);
        _mm256_store_si256((__m256i *)(rows + (4 + i) * 32), high);
    }
}
