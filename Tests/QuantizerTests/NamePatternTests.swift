import Quantizer
import Testing

@Suite("Patterns of names")
struct NamePatternTests {
    @Test(arguments: [
        ("layers.3.attention.output", "layers.3.attention.output", true),
        ("layers.3.attention.output", "layers.33.attention.output", false),
        ("layers.*.experts.*.down", "layers.12.experts.255.down", true),
        ("layers.*.experts.*.down", "layers.12.experts.255.up", false),
        ("layers.3*", "layers.31.shared.up", true), ("*", "output.head", true), ("layers.3", "layers.3.router", false),
        ("*.attention.*", "model.layers.1.attention.x", true), ("layers.?.dense.up", "layers.1.dense.up", true),
        ("layers.?.dense.up", "layers.10.dense.up", false),
        ("layers.0.dense.{gate,up}", "layers.0.dense.up", true),
        ("layers.0.dense.{gate,up}", "layers.0.dense.down", false),
        ("layers.{0-3,7,10-12}.*", "layers.11.router", true), ("layers.{0-3,7,10-12}.*", "layers.7.router", true),
        ("layers.{0-3,7,10-12}.*", "layers.4.router", false), ("layers.{1-3}.*", "layers.13.router", false),
        ("{o,out,output}.head", "output.head", true), ("a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ("{a-b}x", "a-bx", true),
    ])
    func matches(pattern: String, name: String, isMatch: Bool) throws {
        #expect(try #require(NamePattern(pattern)).matches(name) == isMatch)
    }

    @Test(arguments: [
        "", "a b", "a{b", "a}b", "{}", "{a,}", "{3-1}", "{a{b}}", "{*}", String(repeating: "a", count: 2000),
    ])
    func whatIsNoPattern(text: String) { #expect(NamePattern(text) == nil) }

    @Test func manyStarsTakeNoLongTime() throws {
        let pattern = try #require(NamePattern(String(repeating: "a*", count: 200) + "b"))
        let clock = ContinuousClock()
        let start = clock.now
        #expect(!pattern.matches(String(repeating: "a", count: 1000)))
        #expect(clock.now - start < .seconds(1))
    }
}
