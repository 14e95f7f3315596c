import Container
import TestSupport
import Testing

@Suite struct PackingTests {
    /// Random bytes, of which a part is zero.
    private func blob(zeroPercent: Int) -> [UInt8] {
        var random = SplitMix(seed: 5)
        let count = 100_000
        return [UInt8](repeating: 0, count: count * zeroPercent / 100)
            + random.bytes(count - count * zeroPercent / 100)
    }

    @Test(arguments: [(0, false), (1, false), (6, false), (9, false), (11, true), (50, true), (100, true)])
    func autoPacksWhatSavesATenth(zeroPercent: Int, isPacked: Bool) {
        blob(zeroPercent: zeroPercent).withUnsafeBytes { bytes in
            let packed = PackedBlob(packing: bytes, .auto)
            #expect((packed.codec == .lz4) == isPacked)
            #expect(packed.storedByteCount <= (isPacked ? bytes.count * 90 / 100 : bytes.count))
            #expect(packed.byteCount == bytes.count)
        }
    }

    @Test(arguments: [0, 4, 100]) func alwaysAndNeverAreJustThat(zeroPercent: Int) {
        blob(zeroPercent: zeroPercent).withUnsafeBytes { bytes in
            #expect(PackedBlob(packing: bytes, .always).codec == .lz4)
            let never = PackedBlob(packing: bytes, .never)
            #expect(never.codec == .stored && never.checksum == XXH3.hash(bytes))
        }
    }

    /// Few distinct nibbles, as in a ternary expert: nothing repeats for long, but it must gain.
    @Test func lowEntropyGains() {
        var random = SplitMix(seed: 6)
        let nibbles: [UInt8] = [7, 8, 9]
        let bytes = (0..<100_000).map { _ in
            (nibbles.randomElement(using: &random) ?? 0) << 4 | (nibbles.randomElement(using: &random) ?? 0)
        }
        bytes.withUnsafeBytes { #expect(PackedBlob(packing: $0, .auto).codec == .lz4) }
    }
}

@Suite struct XXH3Tests {
    /// From the reference implementation (Cyan4973/xxHash).
    @Test func theHashIsThePublishedOne() {
        #expect(XXH3.hash([]) == 0x2D06_8005_38D3_94C2)
        #expect(hexadecimal(0xAB) == "00000000000000ab")
    }

    @Test(arguments: [0, 1, 240, 241, 1024, 5000]) func piecesHashLikeTheWhole(count: Int) {
        var random = SplitMix(seed: 9)
        let bytes = random.bytes(count)
        guard var stream = XXH3.Stream() else {
            Issue.record("no memory")
            return
        }
        bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: count, by: 97) {
                stream.update(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 97, count)]))
            }
        }
        #expect(stream.finalize() == XXH3.hash(bytes))
    }
}
