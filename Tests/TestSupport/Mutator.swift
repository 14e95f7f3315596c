/// Changes bytes as a careless or hostile writer would: flips, pieces of the format put, doubled, moved or taken out,
/// numbers made extreme, an early end.
package struct Mutator {
    private var random: SplitMix
    /// Pieces that mean something in the format.
    private let words: [[UInt8]]

    package init(seed: UInt64, words: [String] = []) {
        random = SplitMix(seed: seed)
        self.words = Self.commonWords + words.map { Array($0.utf8) }
    }

    private static let commonWords =
        [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "null", "true", "false", "{}", "[]", "\"\"",
            "e", "E400", ".", "-", " ", "\u{FEFF}", "\u{1F600}",
        ].map { Array($0.utf8) } + [[0], [0x1F], [0x80], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xFF]]

    private static let numbers = [
        "0", "1", "-1", "-0", "1.5", "1e3", "1e400", "255", "256", "65535", "65536", "2147483648", "4294967296",
        "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
        "18446744073709551615", "18446744073709551616", "00", "1.", "NaN",
    ].map { Array($0.utf8) }

    private static let extremes: [UInt64] = [
        0, 1, 2, 7, 31, 32, 33, 63, 64, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 1 << 20, 0x7FFF_FFFF, 0x8000_0000,
        0xFFFF_FFFF, 1 << 32, 1 << 58, 1 << 62, 1 << 63 - 1, 1 << 63, .max - 7, .max,
    ]

    package mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: elements.indices, using: &random)]
    }

    package mutating func chance(_ numerator: Int, in denominator: Int) -> Bool {
        Int.random(in: 0..<denominator, using: &random) < numerator
    }

    /// One to four changes.
    package mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            if bytes.isEmpty { bytes = [0] }
            change(&bytes)
        }
        return bytes
    }

    /// One to four changes that leave everything else in its place, for formats whose parts are found by offsets.
    package mutating func overwrite(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        guard !bytes.isEmpty else { return bytes }
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: bytes.indices, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<3: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 3..<6: writeExtreme(at: place, in: &bytes)
            case 6..<8: shiftNumber(at: place, in: &bytes)
            case 8:
                let copied = Array(bytes[run(at: place, in: bytes)])
                put(copied, at: Int.random(in: bytes.indices, using: &random), in: &bytes)
            default: put(random.bytes(Int.random(in: 1...64, using: &random)), at: place, in: &bytes)
            }
        }
        return bytes
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        let place = Int.random(in: bytes.indices, using: &random)
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<4: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 4..<7: bytes.insert(contentsOf: pick(words), at: place)
        case 7..<9: bytes.replaceSubrange(run(at: place, in: bytes), with: pick(words))
        case 9..<12: replaceNumber(after: place, in: &bytes)
        case 12..<14: writeExtreme(at: place, in: &bytes)
        case 14..<16: bytes.removeSubrange(run(at: place, in: bytes))
        case 16: bytes.insert(contentsOf: Array(bytes[run(at: place, in: bytes)]), at: place)
        case 17:
            let copied = Array(bytes[run(at: place, in: bytes)])
            bytes.insert(contentsOf: copied, at: Int.random(in: bytes.indices, using: &random))
        case 18: bytes.insert(contentsOf: repeated(), at: place)
        default: bytes.removeSubrange(place...)
        }
    }

    private mutating func run(at place: Int, in bytes: [UInt8]) -> Range<Int> {
        let length = 1 << Int.random(in: 0..<7, using: &random)
        return place..<min(bytes.count, place + Int.random(in: 1...length, using: &random))
    }

    /// The next decimal number becomes another.
    private mutating func replaceNumber(after place: Int, in bytes: inout [UInt8]) {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard let start = bytes[place...].firstIndex(where: digits.contains) else { return }
        let end = bytes[start...].firstIndex { !digits.contains($0) } ?? bytes.count
        bytes.replaceSubrange(start..<end, with: pick(Self.numbers))
    }

    /// A little-endian number of one to eight bytes.
    private mutating func writeExtreme(at place: Int, in bytes: inout [UInt8]) {
        let width = pick([1, 2, 4, 8])
        let value = pick(Self.extremes)
        let number = (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
        put(number, at: place / width * width, in: &bytes)
    }

    /// A little-endian number of eight bytes becomes one near it.
    private mutating func shiftNumber(at place: Int, in bytes: inout [UInt8]) {
        let start = place / 8 * 8
        let value = bytes[start...].prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let near = value &+ UInt64(bitPattern: Int64.random(in: -64...64, using: &random))
        put((0..<8).map { UInt8(truncatingIfNeeded: near >> UInt64(8 * $0)) }, at: start, in: &bytes)
    }

    private func put(_ new: [UInt8], at place: Int, in bytes: inout [UInt8]) {
        let end = min(place + new.count, bytes.count)
        bytes.replaceSubrange(place..<end, with: new.prefix(end - place))
    }

    private mutating func repeated() -> [UInt8] {
        let word = pick(words)
        return (0..<Int.random(in: 2...200, using: &random)).flatMap { _ in word }
    }
}
