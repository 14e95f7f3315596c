import API
import Testing
import moectl

@Suite struct HeatMapTests {
    private let use = ExpertUse(layers: [
        .init(
            layer: 1, useCount: 10, hitCount: 7, popularity: [0, 1, 2, 4, 9, 0, 0, 0],
            isResident: [true, true, false, false, true, false, false, false]),
        .init(
            layer: 2, useCount: 0, hitCount: 0, popularity: Array(repeating: 0, count: 8),
            isResident: Array(repeating: false, count: 8)),
    ])

    @Test func lettersWhereThereAreNoColours() {
        let lines = HeatMap(columnCount: 80, hasColors: false).lines(use)
        #expect(lines[1] == "   1 |.a▒▓d   | 70.0 %")
        #expect(lines[2] == "   2 |        | -")
    }

    @Test func coloursEndWhereTheExpertsDo() {
        let lines = HeatMap(columnCount: 80, hasColors: true).lines(use)
        #expect(lines[1] == "   1 |\u{1B}[32m ░\u{1B}[0m▒▓\u{1B}[32m█\u{1B}[0m   | 70.0 %")
    }

    @Test func narrowTerminalsPutNeighboursTogether() {
        let wide = ExpertUse(layers: [
            .init(
                layer: 3, useCount: 1, hitCount: 1, popularity: (0..<256).map { Float($0 % 7) },
                isResident: Array(repeating: true, count: 256))
        ])
        for columns in [1, 20, 40, 80, 200, 1000] {
            let lines = HeatMap(columnCount: columns, hasColors: false).lines(wide)
            #expect(lines[1].count <= max(columns, 32))
        }
    }

    @Test func theLastLineSumsUp() {
        var use = use
        use.layers[0].paging = LayerPaging(
            layer: 1, hitCount: 7, missCount: 3, readCount: 4, byteCount: 3 << 20, stallSeconds: 2, residentCount: 3,
            prediction: nil)
        let last = HeatMap(columnCount: 80, hasColors: false).lines(use).last
        #expect(last?.hasPrefix("in all: 70.0 % of uses in memory, ") == true)
        #expect(last?.contains("in 4 reads") == true)
    }

    @Test func nothingToShowIsSaid() {
        #expect(HeatMap(columnCount: 80, hasColors: true).lines(ExpertUse(layers: [])).count == 1)
    }
}
