package import API

/// The use of experts as a picture of characters: a row a layer, a column an expert or a few neighbours.
package struct HeatMap {
    /// Of the terminal.
    package var columnCount: Int
    package var hasColors: Bool

    package init(columnCount: Int, hasColors: Bool) {
        self.columnCount = columnCount
        self.hasColors = hasColors
    }

    /// From unused to more than twice an even share.
    private static let shades: [Character] = [" ", "░", "▒", "▓", "█"]
    /// The same for experts in memory, where there are no colours.
    private static let residentShades: [Character] = [".", "a", "b", "c", "d"]
    private static let labelWidth = 6
    private static let summaryWidth = 12

    package func lines(_ use: ExpertUse) -> [String] {
        guard let first = use.layers.first, !first.popularity.isEmpty else {
            return ["The model has no routed experts."]
        }
        let expertCount = first.popularity.count
        let room = max(columnCount - Self.labelWidth - Self.summaryWidth, 8)
        let perColumn = (expertCount + room - 1) / room
        var lines = [
            "\(use.layers.count) layers of \(expertCount) experts"
                + (perColumn > 1 ? ", \(perColumn) a column" : "") + "; share of uses in memory at the right"
        ]
        for layer in use.layers { lines.append(line(layer, perColumn: perColumn)) }
        lines.append(
            hasColors
                ? "\u{1B}[32m\(String(Self.shades.dropFirst()))\u{1B}[0m in memory, \(String(Self.shades.dropFirst())) not, "
                    + "at most ½, 1, 2 and more times an even share"
                : "\(String(Self.residentShades)) in memory, \(String(Self.shades.dropFirst())) not: unused, at most ½, 1, 2 "
                    + "and more times an even share")
        if let total = total(use.layers.compactMap(\.paging)) { lines.append(total) }
        return lines
    }

    private func total(_ layers: [LayerPaging]) -> String? {
        let hits = layers.reduce(0) { $0 + $1.hitCount }
        let uses = hits + layers.reduce(0) { $0 + $1.missCount }
        guard uses > 0 else { return nil }
        let bytes = layers.reduce(0) { $0 + $1.byteCount }
        let stall = layers.reduce(0) { $0 + $1.stallSeconds }
        let share = Quantity.percent(Double(hits) / Double(uses))
        return "in all: \(share) of uses in memory, \(Quantity.bytes(bytes)) in "
            + "\(layers.reduce(0) { $0 + $1.readCount }) reads, \(Quantity.duration(seconds: stall)) waited"
    }

    private func line(_ layer: ExpertUse.Layer, perColumn: Int) -> String {
        let count = min(layer.popularity.count, layer.isResident.count)
        let sum = layer.popularity.reduce(0) { $0 + Double($1) }
        var picture = ""
        var isGreen = false
        for start in stride(from: 0, to: count, by: perColumn) {
            let its = start..<min(start + perColumn, count)
            let share = sum > 0 ? its.reduce(0) { $0 + Double(layer.popularity[$1]) } / sum : 0
            let shade = Self.shade(share * Double(count) / Double(its.count))
            // A column counts as in memory when most of its experts are.
            let isResident = 2 * its.count { layer.isResident[$0] } > its.count
            if hasColors, isResident != isGreen {
                picture += isResident ? "\u{1B}[32m" : "\u{1B}[0m"
                isGreen = isResident
            }
            picture.append(isResident && !hasColors ? Self.residentShades[shade] : Self.shades[shade])
        }
        if isGreen { picture += "\u{1B}[0m" }
        let label = "\(layer.layer)"
        let hits = layer.useCount == 0 ? "-" : Quantity.percent(Double(layer.hitCount) / Double(layer.useCount))
        return String(repeating: " ", count: max(0, Self.labelWidth - 2 - label.count))
            + "\(label) |\(picture)| \(hits)"
    }

    /// `factor`: times an even share.
    private static func shade(_ factor: Double) -> Int {
        if factor <= 0 { return 0 }
        return factor <= 0.5 ? 1 : factor <= 1 ? 2 : factor <= 2 ? 3 : 4
    }
}
