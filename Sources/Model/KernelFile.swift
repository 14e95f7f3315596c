import Glibc

/// A small text file of names and numbers, as the kernel writes them. Its figures are found without making strings of the
/// rest: the daemon looks at some of these files every two seconds while it has nothing to do.
struct KernelFile {
    private let bytes: [UInt8]

    /// More is left unread.
    private static let mostBytes = 1 << 20
    /// What nearly all such files have room in.
    private static let usualBytes = 8192

    /// nil for a file that isn't there, can't be read or is empty.
    init?(_ path: String) {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var room = Self.usualBytes
        // The kernel may give less than is there; only nothing is the end.
        while bytes.count < Self.mostBytes {
            let piece = unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                count = unsafe max(read(file, buffer.baseAddress, buffer.count), 0)
            }
            guard !piece.isEmpty else { break }
            if bytes.isEmpty { bytes = piece } else { bytes += piece }
            room = Self.usualBytes / 2
        }
        guard !bytes.isEmpty else { return nil }
        self.bytes = bytes
    }

    /// The whole of a file that is one number on a line; nil for another, such as `max`.
    var number: Int? {
        let line = bytes.prefix { $0 != Self.newline }
        return Self.number(in: line)
    }

    /// The number that follows a name at the beginning of a line, with spaces between; nil if there is no such line.
    func number(after name: String) -> Int? {
        let name = name.utf8
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: Self.newline) ?? bytes.count
            let line = bytes[start..<end]
            if line.count > name.count, line[start + name.count] == Self.space, line.starts(with: name) {
                let rest = line[(start + name.count)...].drop { $0 == Self.space }
                return Self.number(in: rest.prefix { $0 != Self.space })
            }
            start = end + 1
        }
        return nil
    }

    var lines: [Substring] { String(decoding: bytes, as: UTF8.self).split(separator: "\n") }

    private static let newline = UInt8(ascii: "\n")
    private static let space = UInt8(ascii: " ")

    /// Decimal digits alone.
    private static func number(in digits: ArraySlice<UInt8>) -> Int? {
        guard !digits.isEmpty else { return nil }
        var number = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            let (tens, isTooLarge) = number.multipliedReportingOverflow(by: 10)
            let (sum, isTooLargeNow) = tens.addingReportingOverflow(Int(digit - UInt8(ascii: "0")))
            guard !isTooLarge, !isTooLargeNow else { return nil }
            number = sum
        }
        return number
    }
}
