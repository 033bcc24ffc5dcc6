# The cases of golden_parity.py, family by family.
torch.manual_seed(20261121)
T = make

# dtypes: arithmetic of integers and booleans, promotion
for a in ["f32", "bf16", "i64", "i32", "u8", "bool"]:
    for b in ["f64", "i64", "u8", "bool"]:
        for op, f in [("add", torch.add), ("mul", torch.mul), ("maximum", torch.maximum), ("where", None)]:
            if f is None:
                case(op, lambda c, x, y: torch.where(c, x, y), T("bool", 3), T(a, 3), T(b, 3))
            else:
                case(op, f, T(a, 2, 3), T(b, 3))
        case("sub", torch.sub, T(a, 3), T(b, 3), grad=False)
        case("pow", torch.pow, T(a, 3, low=0.5).abs() if a != "bool" else T(a, 3), (T(b, 3).abs() if b != "bool" else T(b, 3)), grad=False)
        case("cat", lambda xs: torch.cat(xs), [T(a, 2, 3), T(b, 1, 3)])
        case("stack", lambda xs: torch.stack(xs), [T(a, 3), T(b, 3)])
        case("l1Loss", F.l1_loss, T(a, 3), T(b, 3), grad=False) if b != "bool" and a != "bool" else None
        case("mseLoss", F.mse_loss, T(a, 3), T(b, 3), grad=False) if b != "bool" and a != "bool" else None
for a in ["i64", "i32", "u8", "bool"]:
    for op in ["floor", "round", "sign", "neg", "abs", "relu", "mean", "sum", "prod", "any", "all", "silu", "gelu", "logsumexp"]:
        if (op, a) in [("sign", "bool"), ("logsumexp", "bool"), ("logsumexp", "i64"), ("logsumexp", "i32"), ("logsumexp", "u8"), ("floor", "bool"), ("round", "bool")]:
            continue
        case(op, getattr(torch, op, None) or getattr(F, op), T(a, 3, 2))
    case("logsumexp", torch.logsumexp, T(a, 3, 2), 1)
    case("matmul", torch.matmul, T(a, 2, 3), T(a, 3, 2)) if a != "bool" else None
    case("matmul", torch.matmul, T(a, 2, 1, 2, 3), T(a, 4, 3, 2)) if a != "bool" else None
    case("cumsum", torch.cumsum, T(a, 2, 3), 1)
    case("max", torch.max, T(a, 2, 3), 1)
    case("pow", torch.pow, T(a, 3), 2)
    case("div", torch.div, T(a, 3), -1)
    case("mul", torch.mul, T(a, 3), 1.5)
    case("add", torch.add, T(a, 3), -1)
    case("clamp", torch.clamp, T(a, 4), -0.5, 1.5) if a not in ("u8", "bool") else None
    case("maskedFill", torch.masked_fill, T(a, 3), T("bool", 3), 1.5)
    case("maskedFill", torch.masked_fill, T("f32", 3), T(a, 3), 1) if a != "bool" else None
for d in FLOATS:
    for op in ["relu", "abs", "sign", "floor", "round"]:
        case(op, getattr(torch, op), special(d))
case("sub", torch.sub, T("f32", 3), T("bool", 3), grad=False)
case("maximum", torch.maximum, torch.tensor([1.0, math.nan, 2.0, 3.0]), torch.tensor([1.0, 2.0, math.nan, 1.0]))
case("minimum", torch.minimum, torch.tensor([1.0, math.nan, 2.0, 3.0]), torch.tensor([1.0, 2.0, math.nan, 1.0]))
for v in [-0.1, 1.5, math.nan]:
    case("binaryCrossEntropy", F.binary_cross_entropy, torch.tensor([0.5, v]), torch.tensor([0.5, 1.0]))
    case("binaryCrossEntropy", F.binary_cross_entropy, torch.tensor([0.5, 0.1]), torch.tensor([0.5, v]))
case("binaryCrossEntropy", F.binary_cross_entropy, torch.tensor([0.5, 0.0, 1.0]), torch.tensor([0.5, 1.0, 1.0]))
case("binaryCrossEntropy", F.binary_cross_entropy, T("f32", 2, 3, low=0.1, high=0.9), T("f32", 3, low=0.1, high=0.9))
case("maskedFill", torch.masked_fill, T("f32", 3), T("bool", 3), T("f32", 3))
case("cat", lambda xs: torch.cat(xs), [torch.zeros(0), T("f32", 2, 3)])
case("chunk", lambda x: torch.chunk(x, 2, 1), torch.zeros(0, 4))if False else None
case("bmm", torch.bmm, T("f32", 1, 2, 3), T("f32", 4, 3, 2))
case("addmm", lambda x, a, b, beta: torch.addmm(x, a, b, beta=beta), torch.tensor([math.nan, 1.0]), T("f32", 2, 3), T("f32", 3, 2), beta=0)
for q, k in [((2, 2, 3, 4), (1, 2, 5, 4)), ((1, 2, 3, 4), (2, 1, 5, 4)), ((3, 4), (5, 4))]:
    case("scaledDotProductAttention", F.scaled_dot_product_attention, T("f32", *q), T("f32", *k), T("f32", *k))
for bad in [torch.tensor([math.inf, 1.0, 0.0])]:
    case("smoothL1Loss", F.smooth_l1_loss, bad, torch.zeros(3))
    case("huberLoss", F.huber_loss, bad, torch.zeros(3))
case("oneHot", F.one_hot, torch.tensor([0, 2, 1]))

# special functions
for op in ["asin", "acos", "atan", "sinh", "cosh", "asinh", "atanh", "log10", "erfc", "erfinv", "lgamma", "digamma", "sinc"]:
    for d in ["f32", "f64", "bf16"]:
        case(op, getattr(torch, op), T(d, 2, 3, low=0.1, high=0.9))
    case(op, getattr(torch, op), torch.tensor([math.nan, math.inf, -math.inf, 0.25, -0.75]), grad=False)
    case(op, getattr(torch, op), T("i64", 3)) if op not in ("lgamma", "digamma") else None
case("acosh", torch.acosh, T("f64", 5, low=1.1, high=4.0))
case("digamma", torch.digamma, T("f64", 8, low=-3.9, high=-0.1))
case("polygamma", lambda x, n: torch.polygamma(n, x), T("f64", 5, low=0.2, high=4.0), 2)
case("lgamma", torch.lgamma, T("f64", 8, low=-3.9, high=-0.1))

# two and three operands
for op, f in [("remainder", torch.remainder), ("fmod", torch.fmod), ("atan2", torch.atan2), ("hypot", torch.hypot),
              ("logaddexp", torch.logaddexp), ("logaddexp2", torch.logaddexp2), ("xlogy", torch.xlogy), ("copysign", torch.copysign)]:
    case(op, f, T("f32", 2, 3), T("f32", 3, low=0.5))
    case(op, f, T("f64", 2, 1), T("f64", 3, low=0.5))
    case(op, f, special("f64").reshape(-1, 1), special("f64"), grad=False)
    case(op, f, T("i64", 3), torch.tensor([1, 2, 3]))
case("floorDivide", torch.floor_divide, T("f32", 2, 3), T("f32", 3, low=0.5), grad=False)
for op, f in [("floorDivide", torch.floor_divide), ("remainder", torch.remainder), ("fmod", torch.fmod)]:
    case(op, f, torch.tensor([-7, 7, -8, 5]), torch.tensor([2, -2, 3, 3]))
    case(op, f, torch.tensor([1]), torch.tensor([0]))
for op, f in [("bitwiseAnd", torch.bitwise_and), ("bitwiseOr", torch.bitwise_or), ("bitwiseXor", torch.bitwise_xor)]:
    for d in ["i64", "i32", "u8", "bool", "f32"]:
        case(op, f, T(d, 5), T(d, 5))
case("bitwiseNot", torch.bitwise_not, T("i32", 5))
case("bitwiseNot", torch.bitwise_not, T("bool", 5))
case("bitwiseLeftShift", torch.bitwise_left_shift, T("i64", 5), torch.tensor([0, 1, 2, 3, 4]))
case("bitwiseRightShift", torch.bitwise_right_shift, T("i64", 5), torch.tensor([0, 1, 2, 3, 70]))
case("lerp", torch.lerp, T("f32", 2, 3), T("f32", 3), T("f32", 2, 1, low=0.0, high=1.0))
case("lerp", torch.lerp, T("f64", 2, 3), T("f64", 3), 0.3)
case("addcmul", lambda x, a, b, value: torch.addcmul(x, a, b, value=value), T("f32", 2, 3), T("f32", 3), T("f32", 2, 1), value=0.5)
case("addcdiv", lambda x, a, b, value: torch.addcdiv(x, a, b, value=value), T("f32", 2, 3), T("f32", 3), T("f32", 2, 1, low=0.5), value=0.5)
case("nanToNum", torch.nan_to_num, special("f32"))
case("nanToNum", torch.nan_to_num, special("f16"), 1.0, 2.0, -3.0)
case("clamp", torch.clamp, T("f32", 2, 3), T("f32", 3, low=-1.0, high=0.0), T("f32", 2, 1, low=0.0, high=1.0))

# scans, order, counts
for d in ["f32", "i64", "bool"]:
    case("cumprod", torch.cumprod, T(d, 3, 4), 1)
    case("cummax", torch.cummax, T(d, 3, 4), 0)
    case("cummin", torch.cummin, T(d, 3, 4), -1)
case("cumprod", torch.cumprod, torch.tensor([2.0, 0.0, 3.0, 0.0, 4.0]), 0)
case("cumprod", torch.cumprod, torch.tensor([2.0, 3.0, 0.0, 5.0]), 0)
case("logcumsumexp", torch.logcumsumexp, T("f64", 3, 4), 1)
case("logcumsumexp", torch.logcumsumexp, torch.tensor([-math.inf, 1.0, math.inf, 2.0]), 0, grad=False)
for x in [T("f32", 3, 5), T("f32", 3, 4), torch.tensor([[1.0, math.nan, 3.0], [2.0, 5.0, 1.0]]), T("i64", 3, 5)]:
    case("median", torch.median, x)
    case("median", torch.median, x, 1)
    case("kthvalue", torch.kthvalue, x, 2, 1)
    case("nansum", torch.nansum, x, 1)
    case("countNonzero", torch.count_nonzero, x, 0)
    case("mode", lambda t: torch.mode(t, 1)[0], x) if False else None
case("kthvalue", torch.kthvalue, T("f32", 3), 4)
case("nanmean", torch.nanmean, torch.tensor([[1.0, math.nan, 3.0], [2.0, 5.0, 1.0]]), 1)
for q in [0.0, 0.3, 0.5, 1.0]:
    case("quantile", torch.quantile, T("f64", 3, 4), q)
    case("quantile", torch.quantile, T("f32", 3, 4), q, 1)
case("quantile", torch.quantile, T("f64", 3, 4), torch.tensor([0.1, 0.6], dtype=torch.float64), 0, grad=False)
case("quantile", torch.quantile, T("f32", 3), 1.5)
case("diff", torch.diff, T("f32", 3, 4))
case("isclose", torch.isclose, torch.tensor([1.0, 1.00001, math.inf, math.nan, 2.0]), torch.tensor([1.0, 1.0, math.inf, math.nan, 3.0]))
case("unique", torch.unique, T("i64", 12))
case("bincount", torch.bincount, torch.tensor([0, 3, 1, 1, 5]))
case("histc", lambda x, bins, min, max: torch.histc(x, bins, min, max), T("f32", 30), bins=5, min=-1, max=1, grad=False)
case("searchsorted", torch.searchsorted, torch.tensor([1.0, 3.0, 3.0, 5.0]), torch.tensor([[0.0, 3.0], [4.0, 9.0]]), grad=False)
case("searchsorted", lambda s, v, right: torch.searchsorted(s, v, right=right), torch.tensor([1.0, 3.0, 3.0, 5.0]), torch.tensor([3.0, math.nan]), right=True, grad=False)
case("bucketize", torch.bucketize, T("f32", 2, 3), torch.tensor([-1.0, 0.0, 1.0]), grad=False)

# shapes
A, B = T("f32", 2, 3), T("f32", 2, 3)
for op, f in [("hstack", torch.hstack), ("vstack", torch.vstack), ("dstack", torch.dstack), ("columnStack", torch.column_stack)]:
    case(op, f, [A, B])
    case(op, f, [T("f32", 3), T("f32", 3)])
    case(op, f, [T("f32"), T("f32")])
C3 = T("f32", 2, 3, 4)
case("movedim", torch.movedim, C3, 0, -1)
case("moveaxis", torch.moveaxis, C3, [0, 1], [2, 0])
case("movedim", torch.movedim, C3, [0, 0], [1, 2])
case("swapaxes", torch.swapaxes, C3, 0, 2)
for k in [-1, 0, 1, 2, 3]:
    case("rot90", torch.rot90, C3, k, [0, 2])
case("fliplr", torch.fliplr, A)
case("flipud", torch.flipud, A)
case("meshgrid", lambda xs, indexing: torch.meshgrid(xs, indexing=indexing), [T("f32", 2), T("f32", 3)], indexing="xy")
case("meshgrid", lambda xs, indexing: torch.meshgrid(xs, indexing=indexing), [T("f32", 2), T("f32", 3), T("f32", 2)], indexing="ij")
case("broadcastTo", torch.broadcast_to, T("f32", 3, 1), [2, 3, 4])
for offset in [-1, 0, 2]:
    case("diag", torch.diag, T("f32", 3), offset)
    case("diag", torch.diag, T("f32", 3, 4), offset)
    case("diagEmbed", torch.diag_embed, A, offset)
case("diagEmbed", torch.diag_embed, A, 1, 0, 2)
case("trace", torch.trace, T("f32", 3, 4))
case("unflatten", torch.unflatten, T("f32", 2, 6), 1, [2, -1])
case("repeatInterleave", torch.repeat_interleave, A, 2, 1)
case("repeatInterleave", torch.repeat_interleave, A, 2)
case("repeatInterleave", torch.repeat_interleave, A, torch.tensor([1, 2]), 0)

# products
for eq, shapes in [("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 2, 3), (2, 3, 4)]), ("ii->i", [(3, 3)]), ("ii", [(3, 3)]),
                   ("i,j->ij", [(2,), (3,)]), ("ij->ji", [(2, 3)]), ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]), ("ij,ij->", [(2, 3), (2, 3)]),
                   ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]), ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]), ("ij,k->k", [(2, 3), (4,)]),
                   ("ij,jk", [(2, 3), (3, 4)]), ("b i, b j -> i", [(2, 3), (2, 4)]), ("ij,jk->ik", [(2, 3), (4, 4)]), ("ij->k", [(2, 3)])]:
    case("einsum", lambda e, *xs: torch.einsum(e, *xs), eq, *[T("f64", *s) for s in shapes])
case("tensordot", lambda a, b, n: torch.tensordot(a, b, n), T("f32", 2, 3, 4), T("f32", 3, 4, 5), 2)
case("tensordot", lambda a, b, dims: torch.tensordot(a, b, dims), T("f32", 2, 3, 4), T("f32", 4, 5, 2), [[0, 2], [2, 0]])
case("kron", torch.kron, T("f32", 2, 3), T("f32", 2))
case("baddbmm", lambda x, a, b, alpha, beta: torch.baddbmm(x, a, b, alpha=alpha, beta=beta), T("f32", 4), T("f32", 2, 3, 2), T("f32", 2, 2, 4), alpha=2, beta=0.5)
case("inner", torch.inner, T("f32", 2, 3), T("f32", 4, 3))

# writes by index
index = torch.tensor([[0, 1, 0], [2, 0, 1], [0, 0, 2], [1, 1, 1]])
for reduce in ["sum", "prod", "mean", "amax", "amin"]:
    for include in [True, False]:
        f = lambda x, dim, i, s, r, includeSelf: torch.scatter_reduce(x, dim, i, s, r, include_self=includeSelf)
        case("scatterReduce", f, T("f64", 3, 3), 0, index, T("f64", 4, 3), reduce, includeSelf=include)
        case("scatterReduce", f, torch.zeros(3, 3), 0, index, torch.randint(-1, 2, (4, 3)).float(), reduce, includeSelf=include)
        case("scatterReduce", f, T("i64", 3, 3), 0, index, T("i64", 4, 3), reduce, includeSelf=include)
case("indexFill", torch.index_fill, T("f32", 3, 4), 1, torch.tensor([0, 2]), 7.0)
case("maskedScatter", torch.masked_scatter, A, torch.tensor([[True, False, True], [False, True, False]]), T("f32", 5))
case("take", torch.take, A, torch.tensor([[0, -1], [3, 3]]))

# activations of the second row, more losses
for d in ["f32", "bf16"]:
    x = T(d, 4, 6)
    case("glu", F.glu, x)
    case("glu", F.glu, x, 0)
    case("celu", F.celu, x, 0.7)
    case("threshold", F.threshold, x, 0.5, -1.0)
    case("hardshrink", F.hardshrink, x)
    case("softshrink", F.softshrink, x, 0.3)
    case("tanhshrink", F.tanhshrink, x)
    case("softmin", F.softmin, x, 1)
    case("prelu", F.prelu, x, T(d, 6))
    case("prelu", F.prelu, x, T(d, 1))
case("logit", torch.logit, T("f64", 5, low=0.1, high=0.9))
case("glu", F.glu, T("f32", 3, 5))
one = lambda n: torch.where(torch.rand(n) < 0.5, 1.0, -1.0)
snake = {"logTarget": "log_target", "logInput": "log_input"}


def loss(op, f, *args, only=None, **options):
    for reduction in ["mean", "sum", "none"]:
        def run(*xs, **kw):
            given = {snake.get(k, k): v for k, v in kw.items()}
            fixed = [x.detach() if only is not None and i not in only and isinstance(x, torch.Tensor) else x for i, x in enumerate(xs)]
            return f(*fixed, **given)
        case(op, run, *args, **options, reduction=reduction)


loss("klDivLoss", F.kl_div, F.log_softmax(T("f64", 3, 4), 1), F.softmax(T("f64", 3, 4), 1))
loss("klDivLoss", F.kl_div, F.log_softmax(T("f64", 3, 4), 1), F.log_softmax(T("f64", 3, 4), 1), logTarget=True)
case("klDivLoss", lambda x, t, reduction: F.kl_div(x, t, reduction=reduction), F.log_softmax(T("f64", 3, 4), 1), F.softmax(T("f64", 3, 4), 1), reduction="batchmean")
loss("gaussianNllLoss", F.gaussian_nll_loss, T("f64", 3, 4), T("f64", 3, 4), T("f64", 3, 4, low=0.1))
loss("gaussianNllLoss", F.gaussian_nll_loss, T("f64", 3, 4), T("f64", 3, 4), T("f64", 3, low=0.1), full=True)
loss("poissonNllLoss", F.poisson_nll_loss, T("f64", 3, 4), T("f64", 3, 4, low=0.0, high=5.0), only=[0])
loss("poissonNllLoss", F.poisson_nll_loss, T("f64", 3, 4, low=0.5), T("f64", 3, 4, low=0.0, high=5.0), only=[0], logInput=False, full=True)
loss("hingeEmbeddingLoss", F.hinge_embedding_loss, T("f64", 6), one(6).double())
loss("softMarginLoss", F.soft_margin_loss, T("f64", 6), one(6).double(), only=[0])
loss("marginRankingLoss", F.margin_ranking_loss, T("f64", 6), T("f64", 6), one(6).double(), only=[0, 1], margin=0.3)
loss("cosineEmbeddingLoss", F.cosine_embedding_loss, T("f64", 6, 4), T("f64", 6, 4), one(6).double(), only=[0, 1], margin=0.1)
loss("tripletMarginLoss", F.triplet_margin_loss, T("f64", 6, 4), T("f64", 6, 4), T("f64", 6, 4))
loss("tripletMarginLoss", F.triplet_margin_loss, T("f64", 6, 4), T("f64", 6, 4), T("f64", 6, 4), swap=True, margin=0.5)
loss("multiMarginLoss", F.multi_margin_loss, T("f64", 4, 5), torch.tensor([0, 4, 2, 1]))
loss("multiMarginLoss", F.multi_margin_loss, T("f64", 4, 5), torch.tensor([0, 4, 2, 1]), p=2, margin=0.5)
loss("multiLabelSoftMarginLoss", F.multilabel_soft_margin_loss, T("f64", 4, 5), torch.randint(0, 2, (4, 5)).double(), only=[0])
case("cosineSimilarity", lambda a, b, dim: F.cosine_similarity(a, b, dim=dim), T("f64", 3, 4), T("f64", 3, 4), dim=1)
case("cosineSimilarity", lambda a, b, dim: F.cosine_similarity(a, b, dim=dim), T("f32", 3, 4, 2), T("f32", 1, 4, 2), dim=-1)
case("pairwiseDistance", F.pairwise_distance, T("f64", 3, 4), T("f64", 3, 4))
case("normalize", lambda x, dim: F.normalize(x, dim=dim), T("f64", 3, 4), dim=-1)
case("normalize", F.normalize, torch.zeros(2, 3))
case("dist", torch.dist, T("f64", 3, 4), T("f64", 3, 4), 3.0)
case("cdist", torch.cdist, T("f64", 3, 4), T("f64", 5, 4))
case("cdist", torch.cdist, T("f64", 2, 3, 4), T("f64", 2, 5, 4), 1.0)
