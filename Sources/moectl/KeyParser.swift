/// What a person pressed.
package enum Key: Equatable, Sendable {
    case text(Character)
    /// Pasted at once (bracketed paste): line ends in it don't end the message.
    case paste(String)
    case enter
    case backspace
    case delete
    case left
    case right
    case up
    case down
    case home
    case end
    case wordLeft
    case wordRight
    /// Ctrl with a letter, lower case.
    case control(Character)
}

/// Turns the bytes of a terminal in raw mode into keys, however they are cut into pieces.
package struct KeyParser {
    private var pending: [UInt8] = []
    private var pasted: [UInt8]?

    private static let pasteEnd: [UInt8] = Array("\u{1B}[201~".utf8)

    package init() {}

    package mutating func append(_ bytes: some Sequence<UInt8>) -> [Key] {
        var keys: [Key] = []
        for byte in bytes {
            if pasted != nil {
                if let key = continuePaste(byte) { keys.append(key) }
            } else {
                pending.append(byte)
                if let key = takeKey() { keys.append(key) }
            }
        }
        return keys
    }

    private mutating func continuePaste(_ byte: UInt8) -> Key? {
        pasted?.append(byte)
        guard let text = pasted, text.suffix(Self.pasteEnd.count).elementsEqual(Self.pasteEnd) else { return nil }
        pasted = nil
        let whole = String(decoding: text.dropLast(Self.pasteEnd.count), as: UTF8.self)
        return .paste(whole.replacing("\r\n", with: "\n").replacing("\r", with: "\n"))
    }

    /// The key that `pending` holds, once it is complete.
    private mutating func takeKey() -> Key? {
        guard let first = pending.first else { return nil }
        switch first {
        case 0x1B: return takeEscape()
        case 0x0D, 0x0A: return take(.enter)
        case 0x7F, 0x08: return take(.backspace)
        case 0x09: return take(.text("\t"))
        case 0x01...0x1A: return take(.control(Character(Unicode.Scalar(first + 0x60))))
        case 0x00...0x1F: return take(nil)
        default: return takeCharacter(first)
        }
    }

    private mutating func take(_ key: Key?) -> Key? {
        pending.removeAll()
        return key
    }

    private mutating func takeCharacter(_ first: UInt8) -> Key? {
        let length =
            switch first {
            case 0xC2...0xDF: 2
            case 0xE0...0xEF: 3
            case 0xF0...0xF4: 4
            default: 1
            }
        guard pending.count >= length else { return nil }
        return take(String(decoding: pending, as: UTF8.self).first.map { .text($0) })
    }

    private mutating func takeEscape() -> Key? {
        guard pending.count >= 2 else { return nil }
        switch pending[1] {
        case UInt8(ascii: "["), UInt8(ascii: "O"):
            guard pending.count >= 3, let last = pending.last, 0x40...0x7E ~= last else {
                return pending.count > 16 ? take(nil) : nil
            }
            return takeSequence(ending: last)
        case UInt8(ascii: "b"): return take(.wordLeft)
        case UInt8(ascii: "f"): return take(.wordRight)
        case 0x1B:
            pending.removeFirst()
            return nil
        default: return take(nil)
        }
    }

    private mutating func takeSequence(ending last: UInt8) -> Key? {
        let parameters = String(decoding: pending.dropFirst(2).dropLast(), as: UTF8.self)
        let hasControl = parameters.hasSuffix(";5") || parameters.hasSuffix(";3")
        pending.removeAll()
        switch (last, parameters) {
        case (UInt8(ascii: "A"), _): return .up
        case (UInt8(ascii: "B"), _): return .down
        case (UInt8(ascii: "C"), _): return hasControl ? .wordRight : .right
        case (UInt8(ascii: "D"), _): return hasControl ? .wordLeft : .left
        case (UInt8(ascii: "H"), _), (UInt8(ascii: "~"), "1"), (UInt8(ascii: "~"), "7"): return .home
        case (UInt8(ascii: "F"), _), (UInt8(ascii: "~"), "4"), (UInt8(ascii: "~"), "8"): return .end
        case (UInt8(ascii: "~"), "3"): return .delete
        case (UInt8(ascii: "~"), "200"):
            pasted = []
            return nil
        default: return nil
        }
    }
}
