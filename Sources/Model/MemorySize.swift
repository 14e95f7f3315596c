/// An amount of memory as people write it: `900M`, `1.5G`, `1073741824`. Units are powers of 1024; `K`, `KB` and `KiB`
/// mean the same.
package struct MemorySize: Sendable, Equatable, CustomStringConvertible {
    package var byteCount: Int

    package init(byteCount: Int) { self.byteCount = byteCount }

    /// nil if the text isn't a positive number with an optional unit, or passes 2^62 bytes.
    package init?(_ text: String) {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let number = Double(String(digits)), number > 0 else { return nil }
        let shift: Int
        switch text.dropFirst(digits.count).uppercased() {
        case "", "B": shift = 0
        case "K", "KB", "KIB": shift = 10
        case "M", "MB", "MIB": shift = 20
        case "G", "GB", "GIB": shift = 30
        case "T", "TB", "TIB": shift = 40
        default: return nil
        }
        let product = number * Double(1 << shift)
        guard product >= 1, product < Double(1 << 62) else { return nil }
        byteCount = Int(product)
    }

    /// For people: `1.5 GiB`, `12.3 MiB`, `640 B`.
    package var description: String {
        let units = ["KiB", "MiB", "GiB", "TiB"]
        guard byteCount >= 1024 else { return "\(byteCount) B" }
        var value = Double(byteCount) / 1024
        var unit = 0
        while value >= 1023.95, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// The smallest whole number of MiB that holds it, as an option takes it: `812M`.
    package var optionValue: String { "\((byteCount + (1 << 20) - 1) >> 20)M" }
}
