/// A pattern for tensors' names, matched against the whole name.
///
/// `*` stands for any characters, dots included, `?` for one; `{gate,up}` for one of the alternatives, and `{0-3}` (also
/// among alternatives: `{0-3,7}`) for a number in that range. Everything else stands for itself.
package struct NamePattern: Sendable, Equatable, CustomStringConvertible {
    package let description: String
    private let parts: [Part]

    private enum Part: Sendable, Equatable {
        case literal([UInt8])
        case anything
        case anyByte
        case alternatives([Alternative])
    }

    private enum Alternative: Sendable, Equatable {
        case literal([UInt8])
        case number(ClosedRange<Int>)
    }

    private static let lengthLimit = 1024

    /// - Returns: nil for a pattern that is empty, too long, holds a blank, or whose braces don't match.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard !bytes.isEmpty, bytes.count <= Self.lengthLimit, !bytes.contains(where: { $0 <= UInt8(ascii: " ") })
        else {
            return nil
        }
        var parts: [Part] = []
        var literal: [UInt8] = []
        func flush() {
            if !literal.isEmpty { parts.append(.literal(literal)) }
            literal = []
        }
        var place = 0
        while place < bytes.count {
            switch bytes[place] {
            case UInt8(ascii: "*"):
                flush()
                if parts.last != .anything { parts.append(.anything) }
            case UInt8(ascii: "?"):
                flush()
                parts.append(.anyByte)
            case UInt8(ascii: "{"):
                flush()
                guard let end = bytes[place...].firstIndex(of: UInt8(ascii: "}")),
                    let alternatives = Self.alternatives(bytes[(place + 1)..<end])
                else { return nil }
                parts.append(.alternatives(alternatives))
                place = end
            case UInt8(ascii: "}"): return nil
            default: literal.append(bytes[place])
            }
            place += 1
        }
        flush()
        description = text
        self.parts = parts
    }

    private static func alternatives(_ bytes: ArraySlice<UInt8>) -> [Alternative]? {
        var result: [Alternative] = []
        for part in bytes.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard !part.isEmpty, !part.contains(where: { [UInt8]("{*?".utf8).contains($0) }) else { return nil }
            let ends = part.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false).map {
                $0.allSatisfy(isDigit) ? Int(String(decoding: $0, as: UTF8.self)) : nil
            }
            if ends.count == 2, let low = ends[0], let high = ends[1] {
                guard low <= high else { return nil }
                result.append(.number(low...high))
            } else {
                result.append(.literal(Array(part)))
            }
        }
        return result
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    package func matches(_ name: String) -> Bool {
        let name = Array(name.utf8)
        // The places that the parts so far may end at: what is tried is bounded by name times parts, whatever the
        // pattern.
        var ends = [0]
        for part in parts {
            var next: [Int] = []
            switch part {
            case .literal(let literal):
                for end in ends where name[end...].starts(with: literal) { next.append(end + literal.count) }
            case .anything:
                if let first = ends.min() { next = Array(first...name.count) }
            case .anyByte:
                next = ends.filter { $0 < name.count }.map { $0 + 1 }
            case .alternatives(let alternatives):
                for end in ends { next += Self.ends(of: alternatives, in: name[end...]) }
                next = Array(Set(next))
            }
            if next.isEmpty { return false }
            ends = next
        }
        return ends.contains(name.count)
    }

    private static func ends(of alternatives: [Alternative], in rest: ArraySlice<UInt8>) -> [Int] {
        alternatives.compactMap { alternative in
            switch alternative {
            case .literal(let literal):
                return rest.starts(with: literal) ? rest.startIndex + literal.count : nil
            case .number(let range):
                let digits = rest.prefix(while: isDigit)
                guard let number = Int(String(decoding: digits, as: UTF8.self)), range.contains(number) else {
                    return nil
                }
                return digits.endIndex
            }
        }
    }
}
