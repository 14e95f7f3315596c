/// Unicode's normalisation form C (UAX #15).
enum CanonicalComposition {
    /// Everything below is in form C already, and nothing below joins what is before it.
    private static let firstChanging: UInt8 = 0xCC

    /// The text in form C.
    ///
    /// - Parameter text: valid UTF-8.
    /// - Complexity: O(*n* log *n*), and O(*n*) but for long runs of combining marks.
    static func compose(_ text: [UInt8]) -> [UInt8] {
        // The first byte of U+0300 and all after it.
        guard text.contains(where: { $0 >= firstChanging }) else { return text }
        var output: [UInt8] = []
        output.reserveCapacity(text.count)
        var buffer: [UInt32] = []
        var index = 0
        while index < text.count {
            // Characters of one byte join what comes after them only, so text is composed from one to the next.
            var end = index + 1
            while end < text.count, text[end] >= 0x80 { end += 1 }
            let part = text[index..<end]
            if part.contains(where: { $0 >= firstChanging }) {
                buffer.removeAll(keepingCapacity: true)
                decompose(String(decoding: part, as: UTF8.self).unicodeScalars, into: &buffer)
                order(&buffer)
                compose(&buffer)
                for value in buffer { append(value, to: &output) }
            } else {
                output += part
            }
            index = end
        }
        return output
    }

    private static func decompose(_ scalars: String.UnicodeScalarView, into buffer: inout [UInt32]) {
        for scalar in scalars { decompose(scalar.value, into: &buffer) }
    }

    private static func decompose(_ value: UInt32, into buffer: inout [UInt32]) {
        if value < 0xC0 || (0x3400...0x9FFF).contains(value) {
            buffer.append(value)
        } else if let syllable = Hangul.parts(of: value) {
            buffer += syllable
        } else if let parts = tables.decompositions[value] {
            // Tables go one step at a time, and at most three.
            decompose(parts.first, into: &buffer)
            if parts.second > 0 { decompose(parts.second, into: &buffer) }
        } else {
            buffer.append(value)
        }
    }

    private static func combiningClass(_ value: UInt32) -> UInt8 {
        value < 0x300 || (0x3400...0x9FFF).contains(value) ? 0 : tables.classes[value] ?? 0
    }

    /// Puts each run of combining marks in the order of their classes; marks of one class stay as they are.
    private static func order(_ buffer: inout [UInt32]) {
        var start = 0
        while start < buffer.count {
            guard combiningClass(buffer[start]) > 0 else {
                start += 1
                continue
            }
            var end = start + 1
            while end < buffer.count, combiningClass(buffer[end]) > 0 { end += 1 }
            if end - start > 1 {
                let marks = buffer[start..<end]
                let sorted = marks.indices.map { UInt64(combiningClass(marks[$0])) << 32 | UInt64($0) }.sorted()
                buffer.replaceSubrange(start..<end, with: sorted.map { marks[Int($0 & 0xFFFF_FFFF)] })
            }
            start = end
        }
    }

    private static func compose(_ buffer: inout [UInt32]) {
        var starter: Int?
        var lastClass: UInt8 = 0
        var count = 0
        for value in buffer {
            let valueClass = combiningClass(value)
            // Between it and the starter stands nothing, or marks of lower classes only.
            if let place = starter, count == place + 1 || (lastClass > 0 && lastClass < valueClass),
                let composed = Hangul.composed(buffer[place], value) ?? tables.composition(buffer[place], value)
            {
                buffer[place] = composed
                continue
            }
            if valueClass == 0 { starter = count }
            lastClass = valueClass
            buffer[count] = value
            count += 1
        }
        buffer.removeLast(buffer.count - count)
    }

    private static func append(_ value: UInt32, to output: inout [UInt8]) {
        if let scalar = Unicode.Scalar(value), let bytes = UTF8.encode(scalar) { output += bytes }
    }

    private static let tables = Tables()

    private struct Tables {
        /// `second` is 0 for a single character.
        var decompositions: [UInt32: (first: UInt32, second: UInt32)] = [:]
        /// By first and second.
        private var compositions: [UInt64: UInt32] = [:]
        var classes: [UInt32: UInt8] = [:]

        init() {
            for (key, value, _) in Self.entries(CanonicalData.singles) {
                decompositions[Self.number(key)] = (Self.number(value), 0)
            }
            for (key, value, isTogether) in Self.entries(CanonicalData.pairs) {
                let parts = value.split { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") }.map(Self.number)
                decompositions[Self.number(key)] = (parts[0], parts[1])
                if isTogether { compositions[Self.pair(parts[0], parts[1])] = Self.number(key) }
            }
            for (key, value, _) in Self.entries(CanonicalData.classes) {
                let bounds = key.split(separator: UInt8(ascii: "-")).map(Self.number)
                for character in bounds[0]...bounds[bounds.count - 1] {
                    classes[character] = UInt8(String(decoding: value, as: UTF8.self))
                }
            }
        }

        func composition(_ first: UInt32, _ second: UInt32) -> UInt32? { compositions[Self.pair(first, second)] }

        private static func pair(_ first: UInt32, _ second: UInt32) -> UInt64 { UInt64(first) << 32 | UInt64(second) }

        private static func number(_ digits: ArraySlice<UInt8>) -> UInt32 {
            UInt32(String(decoding: digits, as: UTF8.self), radix: 16) ?? 0
        }

        private static func entries(
            _ text: StaticString
        ) -> [(key: ArraySlice<UInt8>, value: ArraySlice<UInt8>, isTogether: Bool)] {
            let bytes = Array("\(text)".utf8)
            return bytes.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }.map { entry in
                let sides = entry.split(separator: UInt8(ascii: "="))
                return (sides[0], sides[1], sides[1].contains(UInt8(ascii: "+")))
            }
        }
    }
}

/// Korean syllables, which are put together by arithmetic (The Unicode Standard, section 3.12).
private enum Hangul {
    private static let firstSyllable: UInt32 = 0xAC00
    private static let firstLead: UInt32 = 0x1100
    private static let firstVowel: UInt32 = 0x1161
    /// One before the first trailing consonant.
    private static let trailBase: UInt32 = 0x11A7
    private static let leadCount: UInt32 = 19
    private static let vowelCount: UInt32 = 21
    private static let trailCount: UInt32 = 28

    static func parts(of value: UInt32) -> [UInt32]? {
        guard value >= firstSyllable, value < firstSyllable + leadCount * vowelCount * trailCount else { return nil }
        let index = value - firstSyllable
        let trail = index % trailCount
        let pair = [
            firstLead + index / (vowelCount * trailCount), firstVowel + index / trailCount % vowelCount,
        ]
        return trail == 0 ? pair : pair + [trailBase + trail]
    }

    static func composed(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if first >= firstLead, first < firstLead + leadCount, second >= firstVowel, second < firstVowel + vowelCount {
            return firstSyllable + ((first - firstLead) * vowelCount + second - firstVowel) * trailCount
        }
        if let parts = parts(of: first), parts.count == 2, second > trailBase, second < trailBase + trailCount {
            return first + second - trailBase
        }
        return nil
    }
}
