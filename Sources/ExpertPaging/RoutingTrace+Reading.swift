import FoundationEssentials

extension RoutingTrace {
    /// Reads a trace: one JSON object a token, `{"layers": [[experts], …]}`, or a table with a header, of which the
    /// columns `turn`, `phase` (0 for the prompt's tokens), `step`, `layer` and `expert` are used. Comment lines of a table begin
    /// with `#` and may say `n_expert=`.
    ///
    /// - Parameter expertsPerLayer: for traces that don't say; the next power of two above the largest number otherwise.
    package init(path: String, expertsPerLayer: Int? = nil) throws(RoutingTraceError) {
        let bytes: [UInt8]
        do {
            bytes = try SmallFile.read(path, limit: 1 << 30)
        } catch {
            throw RoutingTraceError("\(error)")
        }
        do {
            self = try RoutingTrace(text: bytes, expertsPerLayer: expertsPerLayer)
        } catch {
            throw RoutingTraceError("\(path): \(error)")
        }
    }

    package init(text: [UInt8], expertsPerLayer: Int? = nil) throws(RoutingTraceError) {
        let first = text.first { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }
        guard let first else { throw RoutingTraceError("it is empty") }
        var builder = Builder(expertsPerLayer: expertsPerLayer)
        if first == UInt8(ascii: "{") {
            try builder.readObjects(text)
        } else {
            try builder.readTable(text)
        }
        self = try builder.trace()
    }

    private struct Builder {
        var expertsPerLayer: Int?
        var tokens: [[[Int32]]] = []

        private static let mostExperts = 1 << 16

        init(expertsPerLayer: Int?) { self.expertsPerLayer = expertsPerLayer }

        private struct Line: Decodable {
            let layers: [[Int32]]
        }

        mutating func readObjects(_ text: [UInt8]) throws(RoutingTraceError) {
            let decoder = JSONDecoder()
            for (number, line) in text.split(separator: UInt8(ascii: "\n")).enumerated() {
                do {
                    tokens.append(try decoder.decode(Line.self, from: Data(line)).layers)
                } catch {
                    throw RoutingTraceError("line \(number + 1) isn't {\"layers\": [[experts], …]}")
                }
            }
        }

        mutating func readTable(_ text: [UInt8]) throws(RoutingTraceError) {
            var columns: [String: Int] = [:]
            var lastStep: [Int] = []
            for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                .enumerated() where !line.isEmpty
            {
                let number = index + 1
                let fields = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
                if line.first == UInt8(ascii: "#") {
                    readComment(String(decoding: line, as: UTF8.self))
                } else if columns.isEmpty {
                    for (column, name) in fields.enumerated() {
                        columns[String(decoding: name, as: UTF8.self)] = column
                    }
                } else {
                    func field(_ name: String) throws(RoutingTraceError) -> Int {
                        guard let column = columns[name], column < fields.count,
                            let value = Int(String(decoding: fields[column], as: UTF8.self)),
                            0..<Self.mostExperts ~= value
                        else {
                            throw RoutingTraceError("line \(number) has no number in its column \(name)")
                        }
                        return value
                    }
                    guard try field("phase") != 0 else { continue }
                    let step = try [field("turn"), field("step")]
                    if step != lastStep { tokens.append([]) }
                    lastStep = step
                    let layer = try field("layer")
                    while tokens[tokens.count - 1].count <= layer { tokens[tokens.count - 1].append([]) }
                    tokens[tokens.count - 1][layer].append(Int32(try field("expert")))
                }
            }
        }

        private mutating func readComment(_ line: String) {
            for word in line.split(separator: " ") where word.hasPrefix("n_expert=") {
                if expertsPerLayer == nil { expertsPerLayer = Int(word.dropFirst("n_expert=".count)) }
            }
        }

        func trace() throws(RoutingTraceError) -> RoutingTrace {
            let layerCount = tokens.map(\.count).max() ?? 0
            let padded = tokens.map { $0 + Array(repeating: [], count: layerCount - $0.count) }
            let most = padded.joined().joined().max() ?? 0
            guard most < Self.mostExperts else { throw RoutingTraceError("\(most) isn't an expert's number") }
            var guessed = 1
            while guessed <= most { guessed *= 2 }
            return try RoutingTrace(
                layerCount: layerCount, expertsPerLayer: expertsPerLayer ?? guessed,
                expertsPerToken: padded.joined().map(\.count).max() ?? 0, tokens: padded)
        }
    }
}
