/// Numbers as people read them.
enum Amount {
    /// Decimal units, three figures: `6.93 MB`.
    static func bytes(_ count: Int) -> String {
        let units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
        var value = Double(count)
        var unit = 0
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        return unit == 0
            ? "\(count) bytes" : "\(fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0)) \(units[unit])"
    }

    /// `1:23` or `2:03:04`.
    static func clock(_ seconds: Double) -> String {
        let total = Int(seconds.rounded(.up))
        let tail = "\(total / 60 % 60):" + pad(total % 60)
        return total < 3600 ? tail : "\(total / 3600):" + pad(total / 60 % 60) + ":" + pad(total % 60)
    }

    static func fixed(_ value: Double, _ places: Int) -> String {
        let scale = [1.0, 10.0, 100.0, 1000.0][places]
        let scaled = Int((value * scale).rounded())
        guard places > 0 else { return "\(scaled)" }
        let fraction = String(scaled % Int(scale))
        return "\(scaled / Int(scale))." + String(repeating: "0", count: places - fraction.utf8.count) + fraction
    }

    private static func pad(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
