const q=(s,e=document)=>[...e.querySelectorAll(s)];
const tabs=q('nav button');
tabs.forEach(b=>b.onclick=()=>{tabs.forEach(x=>x.setAttribute('aria-selected',x===b));q('main>section').forEach(s=>s.hidden=s.id!==b.dataset.page)});
q('table').forEach(t=>{const b=document.createElement('button');b.className='csv';b.textContent='CSV';b.onclick=()=>{
const text=q('tr',t).map(r=>q('th,td',r).map(c=>'"'+c.textContent.trim().replace(/"/g,'""').replace(/^[=+@]/,"'$&")+'"').join(',')).join('\n');
const a=document.createElement('a');a.href=URL.createObjectURL(new Blob([text],{type:'text/csv'}));a.download='table.csv';a.click()};t.parentElement.before(b)});
q('.plan').forEach(f=>{const r=f.querySelector('input[type=range]'),o=f.querySelector('output'),svg=f.querySelector('svg'),names=JSON.parse(f.dataset.names);let timer;
const show=()=>{o.textContent=names[r.value];q('[data-when]',svg).forEach(p=>p.style.stroke=+p.dataset.when<=+r.value?'var(--ok)':'var(--bad)')};
r.oninput=show;show();
f.querySelector('.play').onclick=()=>{clearInterval(timer);r.value=0;show();timer=setInterval(()=>{if(+r.value>=+r.max){clearInterval(timer);return}r.value=+r.value+1;show()},900)}});
q('svg.map').forEach(m=>{const v=m.viewBox.baseVal,full={x:v.x,y:v.y,w:v.width,h:v.height};const lines=q('path[data-dot]',m);
const dots=()=>lines.forEach(p=>p.style.strokeWidth=p.dataset.dot*Math.pow(v.width/full.w,.7));
const zoom=(k,cx,cy)=>{const w=Math.min(full.w,Math.max(full.w/200,v.width*k)),s=w/v.width;v.x=cx-(cx-v.x)*s;v.y=cy-(cy-v.y)*s;v.width=w;v.height*=s;if(w>=full.w){v.x=full.x;v.y=full.y;v.width=full.w;v.height=full.h}dots()};
const at=e=>{const b=m.getBoundingClientRect(),s=Math.max(v.width/b.width,v.height/b.height);return[v.x+v.width/2+(e.clientX-b.left-b.width/2)*s,v.y+v.height/2+(e.clientY-b.top-b.height/2)*s,s]};
m.addEventListener('wheel',e=>{e.preventDefault();const[x,y]=at(e);zoom(e.deltaY<0?.8:1.25,x,y)},{passive:false});
const held=new Map();let gap=0;
m.addEventListener('pointerdown',e=>{m.setPointerCapture(e.pointerId);held.set(e.pointerId,e);gap=0});
m.addEventListener('pointerup',e=>held.delete(e.pointerId));m.addEventListener('pointercancel',e=>held.delete(e.pointerId));
m.addEventListener('pointermove',e=>{const p=held.get(e.pointerId);if(!p)return;
if(held.size===1){const s=at(e)[2];v.x-=(e.clientX-p.clientX)*s;v.y-=(e.clientY-p.clientY)*s}
held.set(e.pointerId,e);
if(held.size===2){const[a,b]=[...held.values()],d=Math.hypot(a.clientX-b.clientX,a.clientY-b.clientY);if(gap){const[x,y]=at({clientX:(a.clientX+b.clientX)/2,clientY:(a.clientY+b.clientY)/2});zoom(gap/d,x,y)}gap=d}});
m.addEventListener('dblclick',e=>{const[x,y]=at(e);zoom(.5,x,y)})});
