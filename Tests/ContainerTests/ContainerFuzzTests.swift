import Container
import TestSupport
import Testing

/// Random changes, half of them with the checksums made right again.
///
/// What opens must be sound: each tensor and blob that passes its checksum is what was written.
@Suite struct ContainerFuzzTests {
    @Test(.timeLimit(.minutes(5)), arguments: [1, 2] as [UInt64])
    func randomChangesAreRefusedOrHarmless(seed: UInt64) throws {
        let model = SmallModel()
        let original = try ContainerImage(model)
        let file = try ScratchFile()
        try file.replace(with: original.bytes)
        let tensors = Dictionary(uniqueKeysWithValues: model.tensors.map { ($0.key, model.bytes($0)) })
        let experts = Dictionary(uniqueKeysWithValues: model.experts.map { ($0, model.bytes($0)) })

        var random = SplitMix(seed: seed)
        var opened = 0
        for step in 0..<100_000 {
            var mutation = Mutation(original)
            for _ in 0...Int.random(in: 0...2, using: &random) { mutation.change(using: &random) }
            if step % 2 == 0 { mutation.seal() }
            try mutation.write(to: file)
            do {
                let reader = try ContainerReader(path: file.path)
                opened += 1
                for record in reader.tensors.values {
                    guard let bytes = try? reader.bytes(record) else { continue }
                    #expect(bytes == tensors[record.key], "step \(step): \(record.key)")
                }
                for record in reader.experts.values {
                    guard let bytes = try? reader.bytes(record) else { continue }
                    #expect(bytes == experts[record.key], "step \(step): \(record.key)")
                }
            } catch {
                #expect(error.path == file.path && !error.field.isEmpty && !error.expected.isEmpty)
            }
            try mutation.undo(in: file)
        }
        // Changes of the data alone leave the index sound; if none did, nothing above was compared.
        #expect(opened > 1000)
    }
}

/// A container with some of its bytes changed, and which ones: writing all of them each time would take minutes.
private struct Mutation {
    private let original: ContainerImage
    private var bytes: [UInt8]
    private var dirty: [Range<Int>] = []

    init(_ original: ContainerImage) {
        self.original = original
        bytes = original.bytes
    }

    private static let interesting: [UInt64] = [
        0, 1, 2, 3, 31, 32, 63, 64, 65, 127, 128, 255, 256, 4095, 4096, 16383, 16384, 0x7FFF, 0xFFFF, 1 << 20, 1 << 28,
        0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 1 << 58, 1 << 62, 1 << 63 - 1, 1 << 63, .max - 63, .max - 1,
        .max,
    ]

    mutating func change<R: RandomNumberGenerator>(using random: inout R) {
        guard bytes.count > 8 else { return }
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<30:
            let place = place(using: &random)
            put([bytes[place] ^ 1 << UInt8.random(in: 0..<8, using: &random)], at: place)
        case 30..<55:
            let value = Self.interesting.randomElement(using: &random) ?? 0
            let width = [1, 2, 4, 8].randomElement(using: &random) ?? 8
            let place = place(using: &random) / width * width
            put((0..<width).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }, at: place)
        case 55..<70:
            let place = place(using: &random) / 8 * 8
            let near = Int64.random(in: -64...64, using: &random)
            guard place + 8 <= bytes.count else { return }
            let value = bytes[place..<place + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let changed = value &+ UInt64(bitPattern: near)
            put((0..<8).map { UInt8(truncatingIfNeeded: changed >> UInt64($0 * 8)) }, at: place)
        case 70..<85:
            let source = place(using: &random)
            let count = Int.random(in: 1...256, using: &random)
            put(Array(bytes[source...].prefix(count)), at: place(using: &random))
        case 85..<95:
            let noise = (0..<Int.random(in: 1...64, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            put(noise, at: place(using: &random))
        default:
            bytes.removeLast(Int.random(in: 1...min(bytes.count - 1, 4096), using: &random))
        }
    }

    /// Mostly in superblock and index, where there is something to misunderstand.
    private func place<R: RandomNumberGenerator>(using random: inout R) -> Int {
        let place =
            switch Int.random(in: 0..<10, using: &random) {
            case 0: Int.random(in: 0..<64, using: &random)
            case 1..<4: Int.random(in: original.indexOffset..<original.recordsOffset, using: &random)
            case 4..<9: Int.random(in: original.recordsOffset..<original.bytes.count, using: &random)
            default: Int.random(in: 0..<original.bytes.count, using: &random)
            }
        return min(place, bytes.count - 1)
    }

    private mutating func put(_ new: [UInt8], at place: Int) {
        let end = min(place + new.count, bytes.count)
        guard place < end else { return }
        bytes.replaceSubrange(place..<end, with: new.prefix(end - place))
        dirty.append(place..<end)
    }

    mutating func seal() {
        guard bytes.count >= ContainerImage.superblockByteCount else { return }
        ContainerImage.seal(&bytes)
        dirty += [40..<48, 4088..<4096]
    }

    func write(to file: ScratchFile) throws {
        if bytes.count < original.bytes.count { try file.truncate(to: bytes.count) }
        for range in dirty {
            let range = range.clamped(to: 0..<bytes.count)
            try file.write(bytes[range], at: range.lowerBound)
        }
    }

    func undo(in file: ScratchFile) throws {
        for range in dirty { try file.write(original.bytes[range], at: range.lowerBound) }
        if bytes.count < original.bytes.count {
            try file.write(original.bytes[bytes.count...], at: bytes.count)
        }
    }
}
