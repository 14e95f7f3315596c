/// A text in which every character knows who wrote it: the template's author, or whoever sent the request.
///
/// The two travel together through every operation of a template (slicing, trimming, splitting, joining), so that after
/// rendering only what the template itself wrote can become a marker. Positions count Unicode scalars, as Python's do.
package struct MarkedText: Sendable {
    /// Scalars with their marks in the bits above the 21 that a scalar needs.
    var units: [UInt32]

    enum Mark {
        /// The scalar came with the request.
        static let foreign: UInt32 = 1 << 31
        static let scalar: UInt32 = (1 << 21) - 1
    }

    init(units: [UInt32] = []) {
        self.units = units
    }

    /// Text of the template's.
    package init(_ text: some StringProtocol) {
        units = text.unicodeScalars.map(\.value)
    }

    /// Text of the request's.
    package init(foreign text: String) {
        units = text.unicodeScalars.map { $0.value | Mark.foreign }
    }

    package var string: String { Self.string(units[...]) }

    static func string(_ units: ArraySlice<UInt32>) -> String {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: units.map { Unicode.Scalar($0 & Mark.scalar) ?? "\u{FFFD}" })
        return String(text)
    }

    /// The scalars without their marks.
    var scalars: [UInt32] { units.map { $0 & Mark.scalar } }

    /// The marks that all characters have which are made from `self` as a whole, such as those of its JSON form.
    var marks: UInt32 {
        units.reduce(0) { $0 | $1 } & ~Mark.scalar
    }

    /// `text` with the marks that `self` has anywhere.
    func marking(_ text: some StringProtocol) -> MarkedText {
        let marks = marks
        return MarkedText(units: text.unicodeScalars.map { $0.value | marks })
    }

    static func + (left: MarkedText, right: MarkedText) -> MarkedText {
        MarkedText(units: left.units + right.units)
    }
}

extension MarkedText: Equatable, Comparable, Hashable {
    package static func == (left: MarkedText, right: MarkedText) -> Bool {
        left.units.elementsEqual(right.units) { ($0 ^ $1) & Mark.scalar == 0 }
    }

    package static func < (left: MarkedText, right: MarkedText) -> Bool {
        left.units.lexicographicallyPrecedes(right.units) { $0 & Mark.scalar < $1 & Mark.scalar }
    }

    package func hash(into hasher: inout Hasher) {
        for unit in units { hasher.combine(unit & Mark.scalar) }
    }
}

extension MarkedText {
    /// The first place at or after `start` where `other` stands, counted in scalars.
    func firstIndex(of other: MarkedText, from start: Int = 0) -> Int? {
        let count = other.units.count
        guard count > 0 else { return start <= units.count ? start : nil }
        guard units.count >= count else { return nil }
        let first = other.units[0] & Mark.scalar
        var place = start
        while place <= units.count - count {
            if units[place] & Mark.scalar == first, matches(other, at: place) { return place }
            place += 1
        }
        return nil
    }

    /// Whether `other` stands at `place`.
    func matches(_ other: MarkedText, at place: Int) -> Bool {
        guard place >= 0, place + other.units.count <= units.count else { return false }
        return units[place..<place + other.units.count].elementsEqual(other.units) { ($0 ^ $1) & Mark.scalar == 0 }
    }

    func slice(_ range: Range<Int>) -> MarkedText { MarkedText(units: Array(units[range])) }

    /// Python's `str.split(separator, limit)`; with `fromEnd`, `rsplit`.
    func split(at separator: MarkedText, limit: Int = .max) -> [MarkedText] {
        var parts: [MarkedText] = []
        var start = 0
        while parts.count < limit, let found = firstIndex(of: separator, from: start) {
            parts.append(slice(start..<found))
            start = found + separator.units.count
        }
        return parts + [slice(start..<units.count)]
    }

    /// Python's `str.rsplit(separator, limit)`.
    func splitFromEnd(at separator: MarkedText, limit: Int = .max) -> [MarkedText] {
        var parts: [MarkedText] = []
        var end = units.count
        var place = end - separator.units.count
        while parts.count < limit, place >= 0 {
            if matches(separator, at: place) {
                parts.append(slice(place + separator.units.count..<end))
                end = place
                place -= separator.units.count
            } else {
                place -= 1
            }
        }
        return ([slice(0..<end)] + parts.reversed())
    }

    /// Python's `str.split()`: the words between runs of white space.
    func words() -> [MarkedText] {
        units.split(whereSeparator: Self.isSpace).map { MarkedText(units: Array($0)) }
    }

    /// Python's `str.replace(old, new, limit)`.
    func replacing(_ old: MarkedText, with new: MarkedText, limit: Int = .max) -> MarkedText {
        guard !old.units.isEmpty else { return insertingBetween(new, limit: limit) }
        let parts = split(at: old, limit: limit)
        return MarkedText(units: Array(parts.map(\.units).joined(separator: new.units)))
    }

    private func insertingBetween(_ new: MarkedText, limit: Int) -> MarkedText {
        var result = MarkedText()
        for (index, unit) in units.enumerated() {
            if index < limit { result.units += new.units }
            result.units.append(unit)
        }
        if units.count < limit { result.units += new.units }
        return result
    }

    enum Side { case both, start, end }

    /// Python's `strip`, `lstrip` and `rstrip`: of white space, or of any of `characters`.
    func trimmed(_ side: Side = .both, of characters: MarkedText? = nil) -> MarkedText {
        let set = characters.map { Set($0.scalars) }
        func isTrimmed(_ unit: UInt32) -> Bool { set?.contains(unit & Mark.scalar) ?? Self.isSpace(unit) }
        var range = 0..<units.count
        if side != .end {
            range = (units.firstIndex { !isTrimmed($0) } ?? units.count)..<units.count
        }
        if side != .start, let last = units[range].lastIndex(where: { !isTrimmed($0) }) {
            range = range.lowerBound..<last + 1
        } else if side != .start {
            range = 0..<0
        }
        return slice(range)
    }

    /// Python's `str.isspace` of one character: White_Space and the four separators of U+001C to U+001F.
    static func isSpace(_ unit: UInt32) -> Bool {
        let scalar = unit & Mark.scalar
        if scalar < 0x80 { return 9...13 ~= scalar || 0x1C...0x20 ~= scalar }
        return Unicode.Scalar(scalar)?.properties.isWhitespace ?? false
    }

    /// Every character through `change`, which may make several of it; marks stay.
    func mapCharacters(_ change: (Unicode.Scalar, _ isWordStart: Bool) -> String) -> MarkedText {
        var result = MarkedText()
        var isWordStart = true
        for unit in units {
            guard let scalar = Unicode.Scalar(unit & Mark.scalar) else { continue }
            let marks = unit & ~Mark.scalar
            result.units += change(scalar, isWordStart).unicodeScalars.map { $0.value | marks }
            isWordStart = !scalar.properties.isCased
        }
        return result
    }
}
