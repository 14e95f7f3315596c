import Container

/// What a conversion adds to its journal's entries, so that a resumed one can report the whole.
enum ConversionNote {
    /// 24 bytes a part: the bit patterns of error, energy and the first plane's error.
    static func encoded(_ losses: [MatrixEncoder.Loss]) -> [UInt8] {
        losses.flatMap { loss in [loss.error, loss.energy, loss.coarseError].flatMap { bytes($0.bitPattern) } }
    }

    static func losses(_ note: [UInt8]) -> [MatrixEncoder.Loss] {
        stride(from: 0, to: note.count - 23, by: 24).map { start in
            var loss = MatrixEncoder.Loss()
            loss.error = Double(bitPattern: number(note[start..<start + 8]))
            loss.energy = Double(bitPattern: number(note[start + 8..<start + 16]))
            loss.coarseError = Double(bitPattern: number(note[start + 16..<start + 24]))
            return loss
        }
    }

    /// A source file's place among the checkpoint's files, and its checksum.
    static func encoded(file: Int, checksum: UInt64) -> [UInt8] { bytes(UInt64(file)) + bytes(checksum) }

    static func fileAndChecksum(_ note: [UInt8]) -> (file: Int, checksum: UInt64)? {
        guard note.count == 16, let file = Int(exactly: number(note[..<8])) else { return nil }
        return (file, number(note[8...]))
    }

    private static func bytes(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
