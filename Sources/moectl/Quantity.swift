/// Numbers for people to read.
package enum Quantity {
    /// `7.9 MB`, `13.4 GB`; powers of ten, as storage is sold.
    package static func bytes(_ count: Int) -> String {
        var value = Double(count)
        var unit = 0
        let units = ["bytes", "kB", "MB", "GB", "TB"]
        while value >= 999.95, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        return unit == 0 ? "\(count) bytes" : "\(decimal(value)) \(units[unit])"
    }

    /// Tokens a second: whole above 100, with one decimal below.
    package static func rate(_ value: Double) -> String {
        value >= 100 ? String(Int(value.rounded())) : decimal(value)
    }

    /// `11.5 million`, `671 billion`.
    package static func parameters(_ count: Int) -> String {
        switch count {
        case 1_000_000_000...: "\(rate(Double(count) / 1e9)) billion"
        case 1_000_000...: "\(rate(Double(count) / 1e6)) million"
        default: "\(count)"
        }
    }

    /// `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`.
    package static func duration(seconds: Double) -> String {
        let seconds = Int(min(max(seconds, 0), 1e15))
        switch seconds {
        case 86_400...: return "\(seconds / 86_400) d \(seconds % 86_400 / 3600) h"
        case 3600...: return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
        case 60...: return "\(seconds / 60) min"
        default: return "\(seconds) s"
        }
    }

    package static func percent(_ share: Double) -> String {
        "\(decimal(share * 100)) %"
    }

    private static func decimal(_ value: Double) -> String {
        let tenths = Int((min(max(value, -1e15), 1e15) * 10).rounded())
        return "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10)"
    }
}
