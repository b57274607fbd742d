/* Kernels as Paddle Lite's headers declare them, each with an instruction of its own; see test_kernels.py. */
namespace paddle {
namespace lite {

enum class PrecisionType : int { kFloat = 1, kInt8 = 2 };

namespace kernels {
namespace arm {

struct KernelBase {
    virtual void PrepareForRun() {}
    virtual void ReInitWhenNeeded() {}
    virtual void Run() = 0;
    virtual int place() const { return 0; }
};

template <PrecisionType In, PrecisionType Out>
struct ConvCompute : KernelBase {
    void Run() override { __asm__ volatile("movz x9, %0" ::"i"(10 * static_cast<int>(In) + static_cast<int>(Out))); }
};

struct SoftmaxCompute : KernelBase {
    void Run() override { __asm__ volatile("movz x9, #7"); }
};

/* Inherits `Run`. */
struct ScaledSoftmaxCompute : SoftmaxCompute {
    int place() const override { return 1; }
};

struct DepthwiseConv : KernelBase {
    void Run() override { __asm__ volatile("movz x9, #8"); }
};

}  // namespace arm
}  // namespace kernels
}  // namespace lite
}  // namespace paddle

using namespace paddle::lite;
using namespace paddle::lite::kernels::arm;

inline void *operator new(unsigned long, void *place) { return place; }

extern "C" __attribute__((visibility("default"))) KernelBase *make(int kind, void *memory)
{
    switch (kind) {
    case 0:
        return new (memory) ConvCompute<PrecisionType::kFloat, PrecisionType::kFloat>;
    case 1:
        return new (memory) ConvCompute<PrecisionType::kInt8, PrecisionType::kFloat>;
    case 2:
        return new (memory) SoftmaxCompute;
    case 3:
        return new (memory) ScaledSoftmaxCompute;
    default:
        return new (memory) DepthwiseConv;
    }
}
