import Testing
import moectl

@Suite struct EventStreamParserTests {
    private static let stream =
        ": prefill 1/2\r\n\r\ndata: {\"a\":1}\n\nevent: x\rdata:one\rdata: two\r\rdata: never ended"

    private static let expected: [EventStreamParser.Event] = [
        .comment("prefill 1/2"), .data(#"{"a":1}"#), .data("one\ntwo"),
    ]

    @Test(arguments: 1...Self.stream.utf8.count)
    func cutsDoNotMatter(pieceLength: Int) throws {
        var parser = EventStreamParser()
        var events: [EventStreamParser.Event] = []
        let bytes = Array(Self.stream.utf8)
        for start in stride(from: 0, to: bytes.count, by: pieceLength) {
            events += try parser.append(bytes[start..<min(start + pieceLength, bytes.count)])
        }
        #expect(events == Self.expected)
    }

    @Test func endlessLineIsRefused() throws {
        var parser = EventStreamParser()
        let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
        for _ in 0..<(EventStreamParser.lineLimit >> 20) { _ = try parser.append(piece) }
        #expect(throws: ClientError.self) { try parser.append(piece) }
    }
}
