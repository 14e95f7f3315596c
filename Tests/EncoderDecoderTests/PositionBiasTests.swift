import Container
import EncoderDecoder
import Testing

@Suite struct PositionBiasTests {
    private let shape = ModelConfiguration.RelativeAttention(
        headCount: 1, headSize: 16, bucketCount: 32, greatestDistance: 128)

    private func buckets(_ distances: [Int], isBidirectional: Bool) -> [Int] {
        // A bucket's value is its number.
        let values = (0..<32).map { Float($0) }
        return values.withUnsafeBufferPointer { values in
            guard let base = values.baseAddress else { return [] }
            let bias = PositionBias(base, shape, isBidirectional: isBidirectional)
            return distances.map { Int(bias.value($0, head: 0)) }
        }
    }

    /// What T5's own formula gives in f32.
    @Test func theEncoderLooksBothWays() {
        let distances = [0, -1, -7, -8, -11, -12, -15, -16, -22, -23, -31, -32, -63, -64, -90, -91, -127, -128, -5000]
        let expected = [0, 1, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 13, 14, 14, 15, 15, 15, 15]
        #expect(buckets(distances, isBidirectional: true) == expected)
        #expect(
            buckets(distances.dropFirst().map { -$0 }, isBidirectional: true) == expected.dropFirst().map { $0 + 16 })
    }

    @Test func theDecoderLooksBack() {
        let distances = [5, 0, -1, -15, -16, -18, -19, -63, -64, -112, -113, -128, -9999]
        #expect(
            buckets(distances, isBidirectional: false) == [0, 0, 1, 15, 16, 16, 17, 26, 26, 30, 31, 31, 31])
    }
}
