import Container
import JSON

/// Reads which layers see only so many positions: `sliding_window` of them, a token's own included.
enum WindowReading {
    /// The layers that have the window, where `layer_types` doesn't say which.
    enum Layers {
        case all
        /// From `max_window_layers` on.
        case last
        /// The first, the third and so on.
        case alternate
    }

    private static let (full, sliding) = ("full_attention", "sliding_attention")

    /// - Parameters:
    ///   - layers: nil for a family without windows.
    ///   - isOnByDefault: what it means that `use_sliding_window` is absent.
    /// - Returns: nil if no layer has a window.
    static func read(
        _ reader: ConfigurationReader, layerCount: Int, _ layers: Layers?, isOnByDefault: Bool
    ) throws(CheckpointError) -> ModelConfiguration.GroupedAttention.Window? {
        guard let layers else {
            try reader.mustBe("use_sliding_window", .bool(false))
            _ = try readTypes(reader, layerCount: layerCount, accepted: [full])
            return nil
        }
        let isOn = try reader.boolIfPresent("use_sliding_window") ?? isOnByDefault
        let length = try reader.countIfPresent("sliding_window", in: 1...1 << 28)
        let first = try reader.countIfPresent("max_window_layers", in: 0...1 << 16)
        guard isOn, let length else {
            _ = try readTypes(reader, layerCount: layerCount, accepted: [full])
            return nil
        }
        var windowed = try readTypes(reader, layerCount: layerCount, accepted: [full, sliding])
        if windowed == nil {
            guard layers != .last || first != nil else {
                throw reader.failure("max_window_layers", "this key is missing, and there are no layer_types")
            }
            windowed = (0..<layerCount).map { layer in
                switch layers {
                case .all: true
                case .last: layer >= first ?? 0
                case .alternate: layer.isMultiple(of: 2)
                }
            }
        }
        guard let windowed, windowed.contains(true) else { return nil }
        return .init(length: length, layers: windowed)
    }

    /// Newer configurations name each layer's attention.
    ///
    /// - Returns: whether each layer has the window; nil where they aren't named.
    private static func readTypes(
        _ reader: ConfigurationReader, layerCount: Int, accepted: [String]
    ) throws(CheckpointError) -> [Bool]? {
        guard let value = reader.take("layer_types") else { return nil }
        let types = value.array?.compactMap(\.string) ?? []
        guard types.count == layerCount, value.array?.count == layerCount, types.allSatisfy(accepted.contains) else {
            throw reader.failure(
                "layer_types", "this value isn't supported",
                expected: "\(layerCount) times \(accepted.map { "\"\($0)\"" }.joined(separator: " or "))", found: value)
        }
        return types.map { $0 == sliding }
    }
}
