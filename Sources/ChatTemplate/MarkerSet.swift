/// The special tokens of a vocabulary, to be found in what a template wrote.
struct MarkerSet: Sendable {
    /// By their first character, the longest first.
    private let byFirst: [UInt32: [MarkedText]]

    init(_ markers: some Sequence<String>) {
        byFirst = Dictionary(grouping: markers.filter { !$0.isEmpty }.map { MarkedText($0) }) { $0.units[0] }
            .mapValues { $0.sorted { $0.units.count > $1.units.count } }
    }

    /// The longest marker that stands at `place`, all of it written by the template.
    func marker(in text: MarkedText, at place: Int) -> MarkedText? {
        // A foreign character has a mark, and so isn't equal to any marker's.
        byFirst[text.units[place]]?.first { marker in
            let end = place + marker.units.count
            return end <= text.units.count && text.units[place..<end].elementsEqual(marker.units)
        }
    }
}
