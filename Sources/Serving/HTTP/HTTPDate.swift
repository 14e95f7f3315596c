import Glibc

/// The Date header's form (RFC 9110, §5.6.7).
enum HTTPDate {
    static func now() -> String { string(secondsSince1970: time(nil)) }

    static func string(secondsSince1970 seconds: time_t) -> String {
        var seconds = seconds
        var fields = tm()
        gmtime_r(&seconds, &fields)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 40) { buffer in
            guard let base = buffer.baseAddress else { return "" }
            // Nothing here calls setlocale, so the names are the C locale's, as the standard wants.
            guard strftime(base, buffer.count, "%a, %d %b %Y %H:%M:%S GMT", &fields) > 0 else { return "" }
            return String(cString: base)
        }
    }
}

/// Names that tell requests apart in the journal and in a client's error report.
enum RequestIdentifier {
    static func next(prefix: String = "req-") -> String {
        let value = UInt128.random(in: .min ... .max)
        let digits = String(value, radix: 16)
        return prefix + String(repeating: "0", count: 32 - digits.count) + digits
    }
}
