/// Finds stop strings in a text that arrives in pieces.
///
/// What it lets out never contains a stop string, and what it keeps back is only what a stop string may begin with.
/// Which pieces the text came in makes no difference: the stop string that is complete first ends the text, the longest
/// of those that end at the same byte.
///
/// Strings are compared by their UTF-8 bytes. A stop string begins with the first byte of a character, so whole
/// characters come out.
package struct StopMatcher: Sendable {
    private let stops: [[UInt8]]
    /// Kept back: the beginning of some stop string, perhaps.
    private var held: [UInt8] = []
    package private(set) var isStopped = false

    package init(stops: [String]) {
        self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
    }

    /// Adds text, and returns what can be shown. After a stop, nothing.
    package mutating func append(_ text: String) -> String {
        guard !isStopped else { return "" }
        guard !stops.isEmpty else { return text }
        for byte in text.utf8 {
            held.append(byte)
            let match = stops.filter { $0.last == byte && held.hasSuffix($0) }.max { $0.count < $1.count }
            if let match {
                isStopped = true
                held.removeLast(match.count)
                return finish()
            }
        }
        let keep = stops.map { held.longestSuffix(beginning: $0) }.max() ?? 0
        let shown = String(decoding: held.dropLast(keep), as: UTF8.self)
        held.removeFirst(held.count - keep)
        return shown
    }

    /// What was kept back, once no more text comes.
    package mutating func finish() -> String {
        defer { held.removeAll() }
        return String(decoding: held, as: UTF8.self)
    }
}

extension [UInt8] {
    fileprivate func hasSuffix(_ suffix: [UInt8]) -> Bool {
        count >= suffix.count && self[(count - suffix.count)...].elementsEqual(suffix)
    }

    /// The length of the longest suffix that `other` begins with, itself excluded.
    fileprivate func longestSuffix(beginning other: [UInt8]) -> Int {
        (0..<Swift.min(count + 1, other.count)).last { self[(count - $0)...].elementsEqual(other.prefix($0)) } ?? 0
    }
}
