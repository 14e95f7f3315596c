internal import Glibc

/// The present for `strftime_now`: some models are told the date.
enum PresentTime {
    /// strftime(3) in local time; nothing if the result is longer than a line.
    static func formatted(_ format: String) -> String {
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            let count = strftime(buffer.baseAddress, buffer.count, format, &parts)
            return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
