/// GPT-2's printable stand-ins for the 256 bytes, in which a byte-level vocabulary is written.
///
/// Bytes 33–126, 161–172 and 174–255 stand for themselves; the others, in ascending order, are U+0100, U+0101, ….
package enum ByteAlphabet {
    package static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (0...255).map { (byte: UInt8) in
            switch byte {
            case 33...126, 161...172, 174...255: return Unicode.Scalar(byte)
            default:
                defer { next += 1 }
                return Unicode.Scalar(next) ?? Unicode.Scalar(byte)
            }
        }
    }()

    /// The byte of each scalar below `0x100 + 68`, which is where the alphabet ends; nil for a scalar outside it.
    private static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = UInt8(byte) }
        return bytes
    }()

    /// The text that stands for some bytes.
    package static func text(of bytes: [UInt8]) -> String {
        var text = ""
        for byte in bytes { text.unicodeScalars.append(scalars[Int(byte)]) }
        return text
    }

    /// The bytes that a token's text stands for; nil if a scalar isn't of the alphabet.
    package static func mapped(_ token: String) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(token.utf8.count)
        for scalar in token.unicodeScalars {
            guard scalar.value < 0x144, let byte = bytes[Int(scalar.value)] else { return nil }
            result.append(byte)
        }
        return result
    }
}
