extension SyntheticRouting: CustomStringConvertible {
    /// Reads `NAME` of `known`, or parameters, or a name and parameters that take the place of its own, separated by commas:
    /// `olmoe`, `A=0.65,B=0,fast=0.8`, `qwen,topic=500`.
    package init(parsing text: Substring) throws(RoutingTraceError) {
        let names = Self.known.map(\.name).joined(separator: ", ")
        var parts = text.split(separator: ",", omittingEmptySubsequences: false)[...]
        var routing = Self.known[0].parameters
        if let first = parts.first, !first.contains("=") {
            guard let known = Self.known.first(where: { $0.name == first }) else {
                throw RoutingTraceError("there is no made-up routing \(first), only \(names)")
            }
            routing = known.parameters
            parts.removeFirst()
        }
        for part in parts {
            let words = part.split(separator: "=", maxSplits: 1)
            guard words.count == 2, let value = Double(words[1]), value.isFinite else {
                throw RoutingTraceError("\(part) isn't a parameter and a number, such as A=0.65")
            }
            func require(_ range: ClosedRange<Double>) throws(RoutingTraceError) -> Double {
                guard range.contains(value) else {
                    throw RoutingTraceError("\(part): expected \(range.lowerBound) to \(range.upperBound)")
                }
                return value
            }
            switch words[0] {
            case "A": routing.staticWeight = try require(0...1)
            case "B": routing.slowWeight = try require(0...1)
            case "slow": routing.slowHalfLife = try require(0.01...1e6)
            case "fast": routing.fastHalfLife = try require(0.01...1e6)
            case "topic": routing.topicLength = Int(try require(1...1e9))
            default: throw RoutingTraceError("\(words[0]) isn't one of A, B, slow, fast and topic")
            }
        }
        let sum = routing.staticWeight * routing.staticWeight + routing.slowWeight * routing.slowWeight
        guard sum <= 1 else {
            throw RoutingTraceError("A² + B² is \(sum), and 1 is the most that leaves room for the rest")
        }
        self = routing
    }

    package var description: String {
        "A=\(staticWeight),B=\(slowWeight),slow=\(slowHalfLife),fast=\(fastHalfLife)"
            + (topicLength.map { ",topic=\($0)" } ?? "")
    }
}
