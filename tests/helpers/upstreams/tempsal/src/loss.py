def kldiv(s_map, gt):
    s_map, gt = s_map.flatten(1), gt.flatten(1)
    s_map, gt = s_map / s_map.sum(1, keepdim=True), gt / gt.sum(1, keepdim=True)
    return (gt * (1e-12 + gt / (s_map + 1e-12)).log()).sum(1).mean()


def cc(s_map, gt):
    s_map, gt = (field.flatten(1) - field.flatten(1).mean(1, keepdim=True) for field in (s_map, gt))
    return ((s_map * gt).sum(1) / (s_map.square().sum(1) * gt.square().sum(1)).sqrt()).mean()
