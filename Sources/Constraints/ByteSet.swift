/// A set of bytes.
package struct ByteSet: Sendable, Hashable {
    private var words = SIMD4<UInt64>.zero

    package init(_ ranges: ClosedRange<UInt8>...) {
        for range in ranges { for byte in range { insert(byte) } }
    }

    package init(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { insert(byte) }
    }

    package static let all = ByteSet(0...255)

    package func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 == 1 }

    package var isEmpty: Bool { words == .zero }

    package mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

    package mutating func formUnion(_ other: ByteSet) { words |= other.words }

    package func subtracting(_ other: ByteSet) -> ByteSet {
        var result = self
        result.words &= ~other.words
        return result
    }
}
