import Compute
import Glibc
import Testing

/// Attention of made-up queries over a made-up cache.
private struct AttentionCase {
    var tokens = 1
    var heads = 1
    /// Of the two parts of a key; the second is 0 for none.
    var widths = (16, 0)
    var valueWidth = 16
    var positions: Int
    /// Positions that the first token sees.
    var visible: Int
    /// How many of them a token sees; nil: all.
    var window: Int?
    /// Of each head; none if it is empty.
    var sinks: [Float] = []
    var format = BlockFormat.f32
    var queries: [Float] = []
    var cached: [Float] = []

    /// Filled with random numbers.
    func filled(magnitude: Float = 1) -> AttentionCase {
        var randoms = Randoms(seed: UInt64(positions + 1000 * tokens))
        var result = self
        result.queries = randoms.floats(tokens * heads * (widths.0 + widths.1), in: -magnitude...magnitude)
        result.cached = randoms.floats(positions * stride).map {
            format == .f32 ? $0 : NumberFormat.float(bf16: NumberFormat.bf16($0))
        }
        return result
    }

    var stride: Int { widths.0 + widths.1 + valueWidth }
    let scale: Float = 0.3

    /// [tokens, heads, value], computed for some of the tokens and in calls over some blocks of positions each.
    func attended(_ kernels: Kernels, tokens range: Range<Int>? = nil, blocks: Int = 100) -> [Float] {
        let range = range ?? 0..<tokens
        let (count, width) = (range.count * heads, widths.0 + widths.1)
        let query = Self.copy(queries[range.lowerBound * heads * width..<range.upperBound * heads * width])
        let results = Self.copy((0..<count).map { sinks.isEmpty ? -Float.infinity : sinks[$0 % heads] })
        let sums = Self.copy(Array(repeating: Float(sinks.isEmpty ? 0 : 1), count: count))
        let attended = Self.copy(Array(repeating: Float(0), count: count * valueWidth))
        let floats = Self.copy(cached)
        let halves = Self.copy(cached.map { NumberFormat.bf16($0) })
        defer {
            for pointer in [query, results, sums, attended, floats] { pointer.deallocate() }
            halves.deallocate()
        }
        let all = AttentionQueries(
            scale: scale, tokenCount: range.count, headCount: heads,
            first: HeadRows(query, tokenStride: heads * width, headStride: width),
            second: widths.1 == 0
                ? nil : HeadRows(query + widths.0, tokenStride: heads * width, headStride: width),
            maxima: results, sums: sums,
            attended: HeadRows(attended, tokenStride: heads * valueWidth, headStride: valueWidth))
        let step = blocks * Kernels.attentionBlock
        for start in Swift.stride(from: 0, to: positions, by: step) {
            func rows(_ column: Int, _ width: Int) -> CachedRows {
                let place = start * stride + column
                return CachedRows(
                    format == .f32 ? UnsafeRawPointer(floats + place) : UnsafeRawPointer(halves + place),
                    format: format, stride: stride, width: width)
            }
            kernels.attend(
                all, keys: rows(0, widths.0), secondKeys: widths.1 == 0 ? nil : rows(widths.0, widths.1),
                values: rows(width, valueWidth), positions: 0..<min(step, positions - start),
                visible: visible + range.lowerBound - start, window: window)
        }
        return (0..<count * valueWidth).map { attended[$0] / sums[$0 / valueWidth] }
    }

    private static func copy<Element>(_ values: some Collection<Element>) -> UnsafeMutablePointer<Element> {
        let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: max(1, values.count))
        _ = buffer.initialize(fromContentsOf: values)
        return buffer.baseAddress!
    }

    /// The same in double precision.
    var reference: [Double] {
        let width = widths.0 + widths.1
        return (0..<tokens * heads).flatMap { query in
            let end = min(positions, visible + query / heads)
            let seen = max(0, visible + query / heads - (window ?? positions + visible))..<end
            let scores = seen.map { position in
                (0..<width).reduce(0.0) {
                    $0 + Double(queries[query * width + $1]) * Double(cached[position * stride + $1])
                } * Double(scale)
            }
            let sink = sinks.isEmpty ? -Double.infinity : Double(sinks[query % heads])
            let largest = max(scores.max() ?? 0, sink)
            let weights = scores.map { exp($0 - largest) }
            let total = weights.reduce(exp(sink - largest), +)
            return (0..<valueWidth).map { column in
                zip(seen, weights).reduce(0.0) { $0 + $1.1 * Double(cached[$1.0 * stride + width + column]) } / total
            }
        }
    }
}

@Suite("Attention")
struct AttentionTests {
    private static let cases: [AttentionCase] = [
        AttentionCase(positions: 1, visible: 1).filled(),
        AttentionCase(heads: 16, widths: (512, 64), valueWidth: 512, positions: 300, visible: 300, format: .bf16)
            .filled(),
        AttentionCase(heads: 3, widths: (600, 8), valueWidth: 72, positions: 65, visible: 65, format: .bf16).filled(),
        AttentionCase(tokens: 70, heads: 2, widths: (24, 8), valueWidth: 20, positions: 170, visible: 101).filled(),
        AttentionCase(tokens: 33, heads: 8, widths: (128, 0), valueWidth: 128, positions: 33, visible: 1, format: .bf16)
            .filled(),
        // Windows that begin before, at and behind the borders of blocks, and sinks.
        AttentionCase(
            tokens: 70, heads: 3, widths: (24, 0), valueWidth: 20, positions: 140, visible: 71, window: 9,
            sinks: [0.5, -40, 3]
        ).filled(),
        AttentionCase(
            heads: 4, widths: (64, 0), valueWidth: 64, positions: 200, visible: 200, window: 128,
            sinks: [9, 0, 1, -1], format: .bf16
        ).filled(),
        AttentionCase(tokens: 40, heads: 2, widths: (16, 0), positions: 300, visible: 261, window: 100).filled(),
        // Scores of several hundred: only the maximum keeps their exponentials finite.
        AttentionCase(tokens: 5, heads: 4, widths: (64, 0), positions: 200, visible: 196).filled(magnitude: 200),
    ]

    @Test("Attention agrees with double precision", arguments: cases.indices)
    func agreesWithDouble(index: Int) {
        let attention = Self.cases[index]
        #expect(relativeDistance(attention.attended(Kernels.available[0]), attention.reference) < 2e-6)
    }

    @Test("Every entry gives the scalar entry's bits", arguments: cases.indices)
    func sameBits(index: Int) {
        let expected = Self.cases[index].attended(Kernels.available[0])
        for kernels in Kernels.available.dropFirst() {
            #expect(Self.cases[index].attended(kernels).bits == expected.bits, "\(kernels.name)")
        }
    }

    @Test("Neither other tokens nor calls matter", arguments: cases.indices)
    func neighboursDontMatter(index: Int) {
        let attention = Self.cases[index]
        let whole = attention.attended(.best)
        let tokens = attention.tokens
        for size in [1, 3, 16] where size < tokens || tokens == 1 {
            let parts = stride(from: 0, to: tokens, by: size).flatMap {
                attention.attended(.best, tokens: $0..<min($0 + size, tokens), blocks: 1)
            }
            #expect(parts.bits == whole.bits)
        }
    }

    @Test("What lies before a window doesn't touch it")
    func positionsBeforeTheWindowDontMatter() {
        var windowed = AttentionCase(heads: 5, widths: (32, 0), positions: 90, visible: 90).filled()
        windowed.window = 20
        var damaged = windowed
        for index in 0..<70 * windowed.stride { damaged.cached[index] = .nan }
        for kernels in Kernels.available {
            #expect(damaged.attended(kernels).bits == windowed.attended(kernels).bits)
        }
    }

    @Test("What a token doesn't see doesn't touch it")
    func invisiblePositionsDontMatter() {
        let short = AttentionCase(heads: 5, widths: (32, 0), positions: 20, visible: 20).filled()
        var long = short
        long.positions = 64
        long.cached += [Float](repeating: .nan, count: 44 * short.stride)
        for kernels in Kernels.available { #expect(long.attended(kernels).bits == short.attended(kernels).bits) }
    }
}
