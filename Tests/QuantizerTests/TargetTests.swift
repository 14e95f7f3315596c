import Checkpoint
import Compute
import Container
import Quantizer
import TestSupport
import Testing

@Suite("Types for a size")
struct TargetTests {
    private static func pick(_ bits: Double, threads: Int = 2) throws -> TargetRecipe {
        try TargetRecipe(
            try Checkpoint(directory: Fixtures.demo), targetBits: bits, importance: nil,
            pool: ThreadPool(threadCount: threads))
    }

    /// Counted by hand from what the rules give every matrix.
    @Test(arguments: [4.7, 4.75, 5, 6.5, 9])
    func theSizeIsKeptAndUsed(bits: Double) throws {
        let picked = try Self.pick(bits)
        let configuration = try Checkpoint(directory: Fixtures.demo).configuration
        let plan = try FormatPlan(configuration, own: [], recipe: picked.rules, name: "target")
        var total = 0.0
        var count = 0
        func add(_ shape: MatrixShape, times: Int = 1) {
            total += Double(shape.rows * shape.columns * times) * shape.format.bitsPerElement
            count += shape.rows * shape.columns * times
        }
        for tensor in configuration.residentTensors { add(plan.shape(of: tensor)) }
        for key in plan.expertKeys {
            let layout = try #require(plan.layout(of: key))
            add(layout.gateShape, times: 2)
            add(layout.downShape)
        }
        #expect(abs(total / Double(count) - picked.bitsPerWeight) < 1e-9)
        #expect(picked.bitsPerWeight <= bits && picked.bitsPerWeight > bits - 0.1)
    }

    @Test func itIsTheSameForAnyNumberOfThreads() throws {
        #expect(try Self.pick(4.75, threads: 1).rules == Self.pick(4.75, threads: 3).rules)
    }

    @Test func tooFewBitsAreRefusedWithTheLeast() throws {
        let error = #expect(throws: QuantizerError.self) { try Self.pick(4.5) }
        #expect(error?.code == .badRule && error?.message.contains("int4 throughout takes 4.") == true)
    }

    @Test func theContainerSaysWhatWasAskedFor() throws {
        let directory = try TemporaryDirectory()
        let target = "\(directory.path)/model.moe"
        let outcome = try Program.run(["convert", Fixtures.demo, "-o", target, "--target-bits", "4.75"])
        #expect(outcome.code == 0, "\(outcome.error)")
        let recipe = try ContainerReader(path: target).metadata.recipe
        #expect(recipe.targetBits == 4.75 && recipe.name == "target" && recipe.rules?.last == "*=int4")
        for other in [["--pure"], ["--recipe", "small"], ["--type", "int8"]] {
            let refused = try Program.run(["convert", Fixtures.demo, "-o", target, "--target-bits", "4.75"] + other)
            #expect(refused.code == 64)
        }
    }

    /// A person's rules stay, the rest gets what they leave, and the size holds for both together.
    @Test(arguments: [
        ["layers.*.experts.{0-7}.down=int8"], ["token.embedding=bf16", "output.head=int4-linear"],
        ["layers.{1-2}.experts.*=int4-nonlinear", "model.layers.3.self_attn.*=int8"],
    ])
    func ownRulesAreKeptWithinTheSize(rules: [String]) throws {
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        let own = try rules.map { try FormatRule($0, place: "--rule") }
        let names = SourceNames(checkpoint)
        let picked = try TargetRecipe(
            checkpoint, targetBits: 6, fixed: FixedTypes(own, sourceNames: names), importance: nil,
            pool: ThreadPool(threadCount: 2))
        let plan = try FormatPlan(
            checkpoint.configuration, own: own, recipe: picked.rules, name: "target", sourceNames: names)
        let alone = try FormatPlan(
            checkpoint.configuration, own: own, recipe: [try FormatRule("*=f32", place: "")], name: "alone",
            sourceNames: names)
        var bits = 0.0
        var count = 0
        for tensor in checkpoint.configuration.residentTensors {
            let shape = plan.shape(of: tensor)
            bits += Double(shape.rows * shape.columns) * shape.format.bitsPerElement
            count += shape.rows * shape.columns
            let type = alone.type(of: tensor.key)
            #expect(type == .f32 || plan.type(of: tensor.key) == type, "\(tensor.key)")
        }
        for key in plan.expertKeys {
            let layout = try #require(plan.layout(of: key))
            for shape in [layout.gateShape, layout.gateShape, layout.downShape] {
                bits += Double(shape.rows * shape.columns) * shape.format.bitsPerElement
                count += shape.rows * shape.columns
            }
            let (types, fixed) = (plan.types(of: key), alone.types(of: key))
            #expect(fixed.down == .f32 || types.down == fixed.down)
            #expect(fixed.gateUp == .f32 || types.gateUp == fixed.gateUp)
        }
        #expect(abs(bits / Double(count) - picked.bitsPerWeight) < 1e-9)
        #expect(picked.bitsPerWeight <= 6 && picked.bitsPerWeight > 5.9)
    }

    @Test func rulesThatLeaveNoRoomAreRefused() throws {
        let directory = try TemporaryDirectory()
        let arguments = ["convert", Fixtures.demo, "-o", "\(directory.path)/model.moe", "--target-bits", "4.75"]
        let outcome = try Program.run(arguments + ["--rule", "layers.*.experts.*=int8"])
        #expect(outcome.code == 64 && outcome.error.contains("your rules"), "\(outcome.error)")
        let other = try Program.run(arguments + ["--rule", "no.such=int4"])
        #expect(other.code == 64 && other.error.contains("matches no tensor"), "\(other.error)")
    }
}
